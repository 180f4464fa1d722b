// A client of npm `centrifuge` for the outside oracle: what it sees goes to standard output, one JSON object a line; commands come the same way.
import { createInterface } from 'node:readline';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
let tokens = 0;

function open({ url, token, delay, pingDelay }) {
  const client = new Centrifuge(url, {
    websocket: WebSocket,
    token: token,
    getToken: () => {
      tokens += 1;
      say({ kind: 'token' });
      return new Promise((resolve) => waiting.push(resolve));
    },
    minReconnectDelay: delay,
    maxReconnectDelay: 2 * delay,
    maxServerPingDelay: pingDelay,
  });
  client.on('connected', () => say({ kind: 'connected' }));
  client.on('connecting', (at) => say({ kind: 'connecting', code: at.code }));
  client.on('disconnected', (at) => say({ kind: 'disconnected', code: at.code }));
  return client;
}

function subscribe(client, channel) {
  const subscription = client.newSubscription(channel, { recoverable: true, minResubscribeDelay: 10, maxResubscribeDelay: 20 });
  subscription.on('subscribed', (at) =>
    say({
      kind: 'subscribed',
      channel,
      asked: at.wasRecovering,
      recovered: at.recovered,
      epoch: at.streamPosition.epoch,
      offset: at.streamPosition.offset,
    }),
  );
  subscription.on('unsubscribed', (at) => say({ kind: 'unsubscribed', channel, code: at.code }));
  subscription.on('publication', (at) => say({ kind: 'publication', channel, offset: at.offset, event: at.data.event }));
  subscription.subscribe();
  return subscription;
}

const waiting = [];
let client;
const subscriptions = {};
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.do === 'open') {
    client = open(command);
    for (const channel of command.channels) subscriptions[channel] = subscribe(client, channel);
    client.connect();
  } else if (command.do === 'token') {
    waiting.shift()(command.token);
  } else if (command.do === 'publish') {
    subscriptions[command.channel].publish(command.data).then(
      () => say({ kind: 'sent', key: command.data.key }),
      (error) => say({ kind: 'failed', key: command.data.key, code: error.code }),
    );
  } else if (command.do === 'close') {
    client.disconnect();
    break;
  }
}
process.exit(0);
