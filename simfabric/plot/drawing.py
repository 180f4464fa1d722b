"""Topology drawing: the components of a fabric from left to right, how many there are, and how busy they are, as colour and as number."""

from __future__ import annotations

from typing import Any

from simfabric.plot.picture import Picture, picture, shortened
from simfabric.plot.seen import Seen, seen
from simfabric.plot.style import AMOUNTS, ink_on
from simfabric.units import format_count

# Where a component stands: column from left to right, row from top to bottom; what it is called, its rows and the servers in one.
PLACES = {
    "clients": (0, 1, "clients", "", ""),
    "balancer": (1, 0, "balancer", "server", ""),
    "bootstrap_api": (0, 2, "bootstrap API", "server", ""),
    "token_api": (1, 2, "token API", "server", ""),
    "gateways": (2, 1, "gateways", "", "core"),
    "storage": (3, 1, "storage", "shard", ""),
    "bus": (4, 1, "bus", "broker", "thread"),
    "routers": (5, 1, "routers", "", ""),
    "replay": (4, 2, "replay", "server", ""),
    "snapshot_api": (3, 2, "snapshot API", "server", ""),
    "presence": (2, 2, "presence", "server", ""),
}
# What flows: from, to, what; the bend of the arrow (0: straight).
FLOWS = (
    ("clients", "balancer", "dial", 0.0),
    ("balancer", "gateways", "", 0.0),
    ("clients", "gateways", "frames", 0.0),
    ("clients", "bootstrap_api", "ask", 0.0),
    ("bootstrap_api", "token_api", "then", 0.0),
    ("gateways", "replay", "missed", 0.0),
    ("gateways", "snapshot_api", "", 0.0),
    ("gateways", "presence", "", 0.0),
    ("gateways", "storage", "publish", 0.0),
)
WIDE, HIGH, STEP_X, STEP_Y = 1.38, 0.74, 1.95, 1.5  # Of a box, and from one to the next [inches].
RETURNS = {"targeted": ("routers", "deliver, targeted"), "direct": ("routers", "deliver, direct"), "broadcast": ("bus", "deliver, broadcast")}


def graph(source: Any) -> Any:
    """The fabric of a result or its folder as a networkx.DiGraph: nodes with `column`, `row`, `label`, `mean` and `busiest` (utilisation or None), edges with
    `label` and `bend`."""
    import networkx

    run = seen(source)
    there = ["clients", *run.parts("components")]
    built = networkx.DiGraph(name=run.name)
    unknown = [name for name in there if name not in PLACES]
    for name in there:
        column, row, called, *units = PLACES.get(name) or (unknown.index(name) % 6, 3 + unknown.index(name) // 6, shortened(name, 20), "", "")
        mean, busiest = (run.number(key, name) if name in run.parts(key) else None for key in ("utilisation", "busiest"))
        built.add_node(name, column=column, row=row, label=_label(run, name, called, *units), mean=mean, busiest=busiest)
    for one, other, label, bend in (*FLOWS, *_bus(run, there)):
        if one in built and other in built:
            built.add_edge(one, other, label=label, bend=bend)
    return built


def _bus(run: Seen, there: list[str]) -> list[tuple[str, str, str, float]]:
    """The flows that depend on the pattern."""
    last, label = RETURNS.get(run.words("fanout"), ("routers", "deliver"))
    first = "storage" if "storage" in there else "gateways"
    flows = [(first, "bus", "", 0.0), ("bus", "routers", "", 0.0)] if "bus" in there else [(first, "routers", "", 0.0)]
    return [*flows, (last, "gateways", label, 1.0)]


def _label(run: Seen, name: str, called: str, rows_of: str, servers_of: str) -> str:
    """The name of a component and how many of what it is."""
    if name == "clients":
        return f"clients\n{format_count(run.number('clients') or 0)}"
    rows, servers = (round(run.number("components", name, key) or 1) for key in ("rows", "servers"))
    many = f"{format_count(rows)} {rows_of}{'s' if rows_of and rows != 1 else ''}".strip() if rows != 1 or rows_of else ""
    each = f"{servers} {servers_of or 'server'}{'s' if servers != 1 and not servers_of.endswith('s') else ''}" if servers != 1 or servers_of == "core" else ""
    return f"{called}\n{' x '.join(part for part in (many, each) if part) or '1'}"


def topology(source: Any, theme: str = "light") -> Picture:
    """Draw the components of a result or its folder, their numbers, and the utilisation of each: mean and busiest row, in the colour and in the text."""
    run = seen(source)
    built = graph(run)
    rows = max(row for _, row in built.nodes(data="row"))
    columns = max(column for _, column in built.nodes(data="column"))
    width, height = columns * STEP_X + WIDE + 0.3, rows * STEP_Y + HIGH + 0.75
    with picture(f"Topology: {run.name}", theme, width + 1.1, height) as drawn:
        drawn.set_layout_engine("none")
        axes = drawn.add_axes((0.0, 0.0, width / (width + 1.1), 1.0))
        axes.set_axis_off()
        axes.set_xlim(-WIDE / 2 - 0.15, width - WIDE / 2 - 0.15)
        axes.set_ylim(-(rows * STEP_Y + HIGH / 2 + 0.15), height - rows * STEP_Y - HIGH / 2 - 0.15)
        colours = _colours(drawn, (width + 0.2) / (width + 1.1))
        boxes = {name: _box(drawn, axes, data, colours) for name, data in built.nodes(data=True)}
        for one, other, data in built.edges(data=True):
            _arrow(drawn, axes, built.nodes[one], built.nodes[other], boxes[one], boxes[other], data)
        busy = {name: data["busiest"] for name, data in built.nodes(data=True) if data["busiest"] is not None}
        weakest = max(busy, key=lambda name: busy[name], default=None)
        drawn.told = f"{len(built)} components; " + (f"the busiest is {weakest}, {busy[weakest]:.1%} busy." if weakest else "nothing was busy.")
    return drawn


def _colours(drawn: Picture, left: float) -> Any:
    """The colour map of utilisation, and its scale at the right edge."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import FuncFormatter

    colours = ScalarMappable(Normalize(0.0, 1.0), AMOUNTS)
    bar = drawn.colorbar(colours, cax=drawn.add_axes((left, 0.12, 0.014, 0.7)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))
    bar.set_label("utilisation of the busiest row")
    bar.outline.set_edgecolor(drawn.theme.muted)
    return colours


def _centre(data: Any) -> tuple[float, float]:
    return data["column"] * STEP_X, -data["row"] * STEP_Y


def _box(drawn: Picture, axes: Any, data: Any, colours: Any) -> Any:
    """One component; the text is black or white, whichever reads better on the colour."""
    from matplotlib.colors import to_hex
    from matplotlib.patches import FancyBboxPatch

    x, y = _centre(data)
    busiest = data["busiest"]
    fill = drawn.theme.ground if busiest is None else to_hex(colours.to_rgba(min(busiest, 1.0)))
    box = FancyBboxPatch(
        (x - WIDE / 2, y - HIGH / 2), WIDE, HIGH, boxstyle="round,pad=0,rounding_size=0.08", facecolor=fill, edgecolor=drawn.theme.text, linewidth=1.2, zorder=3
    )
    axes.add_patch(box)
    text = data["label"] if busiest is None else f"{data['label']}\n{_used(data['mean'], busiest)}"
    axes.text(
        x, y, text, ha="center", va="center", fontsize=8, linespacing=1.3, zorder=4, color=drawn.theme.text if busiest is None else ink_on(fill), label="_box"
    )
    return box


def _used(mean: float | None, busiest: float) -> str:
    if mean is None or f"{mean:.0%}" == f"{busiest:.0%}":
        return f"{busiest:.0%} busy"
    return f"{mean:.0%}, at most {busiest:.0%}"


def _arrow(drawn: Picture, axes: Any, one: Any, other: Any, begin: Any, end: Any, data: Any) -> None:
    """An arrow from box to box; the way back to the gateways goes over the top."""
    (x, y), (to_x, to_y) = _centre(one), _centre(other)
    style = {"arrowstyle": "-|>", "color": drawn.theme.muted, "linewidth": 1.2, "shrinkA": 1, "shrinkB": 1}
    if data["bend"]:
        top = y + STEP_Y * 0.8
        axes.plot([x, x, to_x + WIDE * 0.3], [y + HIGH / 2, top, top], color=drawn.theme.muted, linewidth=1.2)
        axes.annotate("", (to_x + WIDE * 0.3, to_y + HIGH / 2), (to_x + WIDE * 0.3, top), arrowprops=style)
        axes.text((x + to_x) / 2, top + 0.04, data["label"], ha="center", va="bottom", fontsize=8, color=drawn.theme.muted, label="_flow")
        return
    axes.annotate("", (to_x, to_y), (x, y), arrowprops={**style, "patchA": begin, "patchB": end}, zorder=2)
    if data["label"]:
        steep = abs(y - to_y) > 0
        axes.text(
            (x + to_x) / 2, (y + to_y) / 2 + (0.0 if steep else 0.04), data["label"], ha="center", va="center" if steep else "bottom", fontsize=8,
            color=drawn.theme.muted, bbox={"facecolor": drawn.theme.ground, "edgecolor": "none", "pad": 1.0}, zorder=2.5, label="_flow",
        )  # fmt: skip
