"""Files that hold none of the categories: science, commerce, code, configuration, prose, maps."""

from __future__ import annotations

import json
from collections.abc import Iterator

from support.detection_cases import Case, case
from support.detection_cases.words import TITLES, dice, lines, table


def cases() -> Iterator[Case]:
    r = dice("nothing")
    yield case(
        "none/iris.csv",
        table(
            ["sepal_length", "sepal_width", "petal_length", "species"],
            [[r.uniform(4, 8), r.uniform(2, 4), r.uniform(1, 7), r.choice(("setosa", "virginica"))] for _ in range(60)],
        ),
        "none",
    )
    yield case(
        "none/titanic.csv",
        table(
            ["PassengerId", "Survived", "Pclass", "Name", "Sex", "Age", "Ticket", "Fare", "Cabin"],
            [
                [
                    n,
                    r.randint(0, 1),
                    r.randint(1, 3),
                    "Holt, Mrs. Mira",
                    "female",
                    r.randint(1, 80),
                    f"A/5 {n}",
                    7.25,
                    "C85",
                ]
                for n in range(60)
            ],
        ),
        "none",
    )
    yield case(
        "none/wine.csv",
        table(
            ["fixed acidity", "pH", "alcohol", "quality"], [[7.4, 3.5, 9.4, r.randint(3, 8)] for _ in range(60)], ";"
        ),
        "none",
    )
    yield case(
        "none/houses.csv",
        table(
            ["SalePrice", "LotArea", "YearBuilt", "Neighborhood"],
            [[r.randint(90, 900) * 1000, r.randint(500, 9000), 1950 + n, "North"] for n in range(60)],
        ),
        "none",
    )
    yield case(
        "none/orders.csv",
        table(
            ["order_id", "customer_id", "product", "quantity", "price"],
            [[n, n % 9, "tea", r.randint(1, 5), 3.5] for n in range(60)],
        ),
        "none",
    )
    yield case(
        "none/employees.csv",
        table(
            ["name", "department", "salary", "city"], [["Jonas Pell", "sales", 50000 + n, "Oslo"] for n in range(40)]
        ),
        "none",
    )
    yield case("none/numbers.csv", table([], [[r.random() for _ in range(8)] for _ in range(60)]), "none")
    yield case(
        "none/package.json",
        json.dumps(
            {
                "name": "x",
                "version": "1.0.0",
                "author": "N. Quist",
                "scripts": {"test": "jest"},
                "dependencies": {"left-pad": "^1.0.0"},
            }
        ),
        "none",
    )
    yield case(
        "none/places.geojson",
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [
                    {
                        "type": "Feature",
                        "geometry": {"type": "Point", "coordinates": [7.1, 45.2]},
                        "properties": {"name": title},
                    }
                    for title in TITLES
                ],
            }
        ),
        "none",
    )
    yield case(
        "none/recipes.json",
        json.dumps([{"id": n, "cuisine": "greek", "ingredients": ["salt", "olive oil", "lemon"]} for n in range(30)]),
        "none",
    )
    yield case(
        "none/deploy.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 3\n  template:\n    spec:\n      containers:\n        - name: web\n          image: web:1\n",
        "none",
    )
    yield case(
        "none/pom.xml",
        "<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><dependencies>"
        + "<dependency><artifactId>x</artifactId><version>1</version></dependency>" * 5
        + "</dependencies></project>",
        "none",
    )
    yield case(
        "none/feed.xml",
        "<rss><channel><title>News</title>"
        + "".join(f"<item><title>{title}</title><link>https://example.org</link></item>" for title in TITLES)
        + "</channel></rss>",
        "none",
    )
    yield case(
        "none/README.md", "# Tool\n\n## Usage\n\nNote: run `make`.\n\n* fast\n* small\n\nLicense: MIT\n" * 5, "none"
    )
    yield case(
        "none/schema.sql",
        "CREATE TABLE patient (id INTEGER PRIMARY KEY, name TEXT, diagnosis TEXT);\nCREATE INDEX i ON patient (name);\n"
        * 4,
        "none",
    )
    yield case("none/settings.ini", "[server]\nhost = localhost\nport = 80\n\n[log]\nlevel = info\n", "none")
    yield case(
        "none/novel.txt",
        lines(
            f'"{title}," said Mira, and closed the book. The evening was long, and nobody came down the road.'
            for title in TITLES * 6
        ),
        "none",
        "unclassified",
    )
    yield case("none/words.txt", lines(sorted(word for title in TITLES for word in title.split())), "none")
    yield case(
        "none/sequences.fasta",
        lines(f">seq{n}\n{''.join(r.choice('ACGT') for _ in range(60))}" for n in range(20)),
        "none",
    )
    yield case(
        "none/variants.vcf",
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + lines(f"20\t{14370 + n}\trs{n}\tG\tA\t29\tPASS\tNS=3" for n in range(20)),
        "none",
    )
    yield case("none/cv.tex", "\\documentclass{article}\n\\begin{document}\nHello\n\\end{document}\n" * 4, "none")
    yield case(
        "none/app.js",
        "export function play(audio, video) {\n  const stream = audio.stream;\n  return stream ? video : null;\n}\n"
        * 12,
        "none",
    )
    yield case(
        "none/holidays.ics",
        "BEGIN:VCALENDAR\nVERSION:2.0\n"
        + "BEGIN:VEVENT\nSUMMARY:Holiday\nDTSTART:20240101\nEND:VEVENT\n" * 12
        + "END:VCALENDAR\n",
        "none",
    )
    yield case(
        "none/page.html", "<!doctype html><html><body><h1>Tea</h1><p>Tea grows on hills.</p></body></html>", "none"
    )
