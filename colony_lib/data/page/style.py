"""How the page looks: on a screen by day and by night, on a phone, and on paper."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2733; --soft: #5b6b7b; --line: #dfe5ec; --panel: #f6f8fa;
  --good: #1a7f37; --warn: #9a6700; --bad: #cf222e; --live: #0969da; --good-soft: #dafbe1; --warn-soft: #fff3cd;
  --bad-soft: #ffebe9; --live-soft: #ddf4ff; --idle: #8c959f; }
@media (prefers-color-scheme: dark) { :root { --paper: #0f151c; --ink: #e3eaf2; --soft: #93a2b3; --line: #2a3441;
  --panel: #161e27; --good: #3fb950; --warn: #d29922; --bad: #f85149; --live: #58a6ff; --good-soft: #12261a;
  --warn-soft: #2e2410; --bad-soft: #331618; --live-soft: #10253d; --idle: #6e7a87; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .1rem 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 2.4rem 0 .7rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
p { margin: .3rem 0; } .soft, .eyebrow { color: var(--soft); }
.eyebrow { font-size: .8rem; text-transform: uppercase; letter-spacing: .06em; }
code, pre { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem;
  overflow-x: auto;
  margin: .6rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.badge { display: inline-block; font-size: .8rem; font-weight: 600; padding: .1rem .55rem; border-radius: 1rem;
  vertical-align: .25em; margin-left: .5rem; white-space: nowrap; color: var(--soft); background: var(--panel);
  border: 1px solid var(--line); }
td .badge { margin: 0; vertical-align: baseline; }
.badge.good { color: var(--good); background: var(--good-soft); border-color: transparent; }
.badge.warn { color: var(--warn); background: var(--warn-soft); border-color: transparent; }
.badge.bad { color: var(--bad); background: var(--bad-soft); border-color: transparent; }
.badge.live { color: var(--live); background: var(--live-soft); border-color: transparent; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.5rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.card svg { display: block; width: 100%; height: 2.4rem; margin-top: .4rem; }
.notice { border: 1px solid var(--line); border-left: 4px solid var(--bad); border-radius: 6px; padding: .8rem 1.1rem;
  margin: 1.2rem 0; background: var(--panel); }
.notice.warn { border-left-color: var(--warn); } .notice h3 { margin: 0 0 .2rem; font-size: 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; font-size: .8rem; color: var(--soft); }
th, td { padding: .38rem .7rem .38rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: break-word; } .wide table { min-width: 34rem; }
.number + td, .number + th { padding-left: 1rem; } .number { text-align: right; white-space: nowrap;
  padding-left: .7rem; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--soft); }
.figure { overflow-x: auto; } .figure svg { display: block; min-width: 40rem; max-width: 100%; height: auto; }
.history { display: flex; flex-wrap: wrap; gap: .25rem; margin: .5rem 0; padding: 0; list-style: none; }
.history li { width: 1.7rem; height: 1.7rem; border-radius: 5px; text-align: center; line-height: 1.7rem;
  font-weight: 600; }
.history .good { color: var(--good); background: var(--good-soft); } .history .warn { color: var(--warn);
  background: var(--warn-soft); }
.history .bad { color: var(--bad); background: var(--bad-soft); } .history .live { color: var(--live);
  background: var(--live-soft); }
.history .idle { background: var(--panel); color: var(--idle); }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .faint { fill: var(--soft); font-size: 11px; }
svg .edge { fill: none; stroke: var(--idle); stroke-width: 1.3; } svg .axis { stroke: var(--line); }
svg .box { fill: var(--panel); stroke: var(--line); }
svg .box.good { stroke: var(--good); fill: var(--good-soft); } svg .box.warn { stroke: var(--warn);
  fill: var(--warn-soft); }
svg .box.bad { stroke: var(--bad); fill: var(--bad-soft); stroke-width: 2; }
svg .box.live { stroke: var(--live); fill: var(--live-soft); }
svg .bar { fill: var(--idle); } svg .bar.good { fill: var(--good); } svg .bar.warn { fill: var(--warn); }
svg .bar.bad { fill: var(--bad); } svg .bar.live { fill: var(--live); } svg .limit { stroke: var(--bad);
  stroke-dasharray: 2 2; }
svg .trend { fill: none; stroke: var(--live); stroke-width: 1.6; stroke-linejoin: round; }
  svg .now { fill: var(--live); }
svg .median { stroke: var(--idle); stroke-dasharray: 3 3; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 34rem) { main { padding: 1.2rem .9rem 3rem; } h1 { font-size: 1.4rem; } }
@media print { :root { color-scheme: light; } main { max-width: none; padding: 0; } body { font-size: 11px; }
  section, .notice, .card { break-inside: avoid; } details > *:not(summary) { display: block; }
  details::details-content { content-visibility: visible; } .figure svg { min-width: 0; } }
"""
