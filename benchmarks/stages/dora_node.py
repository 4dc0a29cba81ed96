"""One node of a dora dataflow: `dora_node.py ROLE --size N ...`, in dora's own environment."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from credit import Credits, Receipts
from dora import Node

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Be a node until the dataflow ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("source", "pipe", "sink"))
    parser.add_argument("--size", type=int, required=True, help="doubles in a frame")
    parser.add_argument("--work", default="same")
    parser.add_argument("--rows", default="")
    parser.add_argument("--credit", default="")
    parser.add_argument("--window", type=int, default=8)
    options = parser.parse_args()
    node = Node()
    if options.role == "source":
        source(node, options)
    elif options.role == "pipe":
        for value in inputs(node):
            if options.work == "new":
                node.send_output("out", pa.array(np.negative(value.to_numpy())))
            else:
                node.send_output("out", value)
    else:
        receipts = Receipts(options.rows, options.credit)
        for value in inputs(node):
            receipts.give((len(value),))


def source(node: Node, options: argparse.Namespace) -> None:
    """Send frames, each written anew, as long as there is credit."""
    credit = Credits(options.credit, options.window)
    frame = np.ones(options.size)
    while True:
        credit.take()
        if options.size < 2048:
            frame = np.random.default_rng().random(options.size)
        else:
            frame.fill(1.0)
        node.send_output("out", pa.array(frame))  # copies it into shared memory


def inputs(node: Node) -> Iterator[pa.Array]:
    """Return what arrives."""
    return (event["value"] for event in node if event["type"] == "INPUT")


if __name__ == "__main__":
    main()
