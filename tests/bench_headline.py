"""The SSL paper's headline measured: CaffeNet at the sparsities of table 4, as CSR and with rows and columns removed.

`python tests/bench_headline.py` fills what assets/evidence/headline.json lacks (`--fresh` starts over; `--only product` takes one
protocol); `--again 0.2` repeats rows whose quartiles lie further apart than a fifth of the median, which other work on the
machine does, and keeps the narrower result; `--markdown` prints the table. Protocols: `core.headline`.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import table4
from core.atomic import replacing
from core.headline import about, cases, measured

TOLD = {
    "product": "product alone",
    "convolution-1": "whole layer, 1 image",
    "convolution-128": "whole layer, 128 images",
}


def kept():
    return table4.recorded()["rows"] if table4.EVIDENCE.exists() else {}


def keep(key, row):
    with replacing(table4.EVIDENCE) as beside:
        beside.write_text(json.dumps(about() | {"rows": kept() | {key: row}}, indent=1) + "\n")


def spread(row):
    return (row["high"] - row["low"]) / row["measured"]


def markdown():
    """Speed of every layer, and the mean, beside the paper's."""
    document = table4.recorded()
    print(f"| row of table 4 | {' | '.join(table4.LAYERS)} | mean |\n|---|---|---|---|---|---|---|")
    for number, row in table4.ROWS.items():
        products = table4.chosen(document, protocol="product", row=number)
        cells = [f"{paper:.2f} ({r['promised']:.2f})" for paper, r in zip(row.cpu, products, strict=True)]
        mean = f"{sum(row.cpu) / len(row.cpu):.2f} ({table4.mean_speed(document, 'product', number, 'promised'):.2f})"
        name = f"**{number}, {'l1, as CSR' if row.method == 'l1' else 'SSL, removed'}**: paper (MACs promise)"
        print(f"| {name} | {' | '.join(cells)} | {mean} |")
        for protocol, what in TOLD.items():
            found = table4.chosen(document, protocol=protocol, row=number)
            cells = [f"{r['measured']:.2f} ({r['low']:.2f}-{r['high']:.2f})" for r in found]
            print(f"| {what} | {' | '.join(cells)} | {table4.mean_speed(document, protocol, number):.2f} |")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--fresh", "--markdown"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--again", type=float, metavar="WIDTH")
    parser.add_argument("--only", choices=table4.BATCHES)
    asked = parser.parse_args()
    if asked.markdown:
        return markdown()
    if asked.fresh:
        table4.EVIDENCE.unlink(missing_ok=True)
    for case in cases([asked.only] if asked.only else table4.BATCHES, table4.LAYERS, table4.ROWS):
        before = kept().get(case.key)
        if before is not None and (asked.again is None or spread(before) <= asked.again):
            continue
        row = measured(case, 4 * case.pairs if case.protocol == "product" else None)
        if before is None or spread(row) < spread(before):
            keep(case.key, row)
        print(f"{case.key}: {row['measured']:.2f} ({row['low']:.2f}-{row['high']:.2f})", flush=True)


if __name__ == "__main__":
    main()
