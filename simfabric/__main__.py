"""python -m simfabric"""

from simfabric.cli import main

if __name__ == "__main__":
    main()
