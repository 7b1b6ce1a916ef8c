"""The stage graph as text and as a picture."""

from collections.abc import Mapping
from html import escape

from pipeline.config import DatasetConfig
from pipeline.graph import CLIP_STAGES, build_graph
from pipeline.pack.sample import PACKED_STAGES

Edges = Mapping[str, tuple[str, ...]]


def edges(config: DatasetConfig) -> Edges:
    """Inputs by stage, from ingest to pack, in an order in which inputs come first."""
    graph = build_graph(config, absent=lambda stage, backend, version: "")  # edges do not depend on weights
    found: dict[str, tuple[str, ...]] = {"ingest": ()}
    for stage in CLIP_STAGES:
        found[stage] = graph[stage].inputs or ("ingest",)
    found["pack"] = PACKED_STAGES
    return found


def text(graph: Edges) -> str:
    """One line a stage: what it reads."""
    width = max(len(name) for name in graph)
    return "\n".join(f"{name:<{width}} <- {', '.join(inputs) or 'videos'}" for name, inputs in graph.items())


def svg(graph: Edges) -> str:
    """A left-to-right drawing, light or dark; a stage stands one column right of its last input."""
    column: dict[str, int] = {}
    for name, inputs in graph.items():
        column[name] = 1 + max((column[i] for i in inputs), default=-1)
    rows: dict[int, int] = {}
    place: dict[str, tuple[int, int]] = {}
    for name in graph:
        row = rows.get(column[name], 0)
        rows[column[name]] = row + 1
        place[name] = (30 + column[name] * 170, 30 + row * 80 + (column[name] % 2) * 24)
    width, height = max(x for x, _ in place.values()) + 160, max(y for _, y in place.values()) + 80
    lines = []
    for name, inputs in graph.items():
        x, y = place[name]
        for source in inputs:
            sx, sy = place[source]
            start, end = sx + 120, x
            middle = (start + end) / 2
            lines.append(f'<path d="M{start},{sy + 20} C{middle},{sy + 20} {middle},{y + 20} {end},{y + 20}"/>')
    boxes = "".join(
        f'<g><rect x="{x}" y="{y}" width="120" height="40" rx="8"/>'
        f'<text x="{x + 60}" y="{y + 25}">{escape(name)}</text></g>'
        for name, (x, y) in place.items()
    )
    style = (
        "path{fill:none;stroke:#888;stroke-width:1.5;marker-end:url(#a)}rect{fill:#eef4ff;stroke:#4472c4}"
        "text{font:14px sans-serif;text-anchor:middle;fill:#111}"
        "@media(prefers-color-scheme:dark){rect{fill:#1c2a44}text{fill:#eee}}"
    )
    arrow = '<marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<title>Stage graph</title><style>{style}</style><defs>{arrow}<path d="M0,0 L8,4 L0,8 z" '
        f'style="fill:#888;stroke:none;marker-end:none"/></marker></defs>{"".join(lines)}{boxes}</svg>\n'
    )
