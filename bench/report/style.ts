/** The page's style: light and dark, from a phone to a wide screen. */

/** Colours s0 to s7 are told apart in both, also next to each other (COLOURS in chart.ts). */
export const STYLE: string = `
:root{--bg:#fff;--fg:#1c1f24;--soft:#5b6470;--rule:#dfe3e8;--panel:#f6f8fa;--band:#f5b94233;--link:#0b5cad;
--s0:#0b62a8;--s1:#c2410c;--s2:#15803d;--s3:#7c3aed;--s4:#b91c1c;--s5:#0e7490;--s6:#a16207;--s7:#be185d}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e6e9ed;--soft:#9aa4b0;--rule:#30363d;--panel:#1b1f25;
--band:#f5b94226;--link:#7db7f0;--s0:#5aa9f0;--s1:#fb923c;--s2:#4ade80;--s3:#b79bff;--s4:#f87171;--s5:#22d3ee;
--s6:#facc15;--s7:#f472b6}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.3rem;margin:2.5rem 0 .25rem;padding-top:.75rem;border-top:1px solid var(--rule)}
h3{font-size:1.05rem;margin:1.5rem 0 .25rem}
p{max-width:68ch;margin:.5rem 0}
a{color:var(--link)}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:.75rem 0}
.machine,dl,footer,.notes{color:var(--soft);font-size:.875rem}
.warning{border-left:4px solid var(--s1);padding-left:.75rem}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));margin:.75rem 0}
figure{margin:0;padding:.5rem;background:var(--panel);border:1px solid var(--rule);border-radius:6px;max-width:38rem}
figcaption{font-weight:600;font-size:.9rem;padding:0 .25rem}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font:12.5px system-ui,sans-serif}
svg .label{fill:var(--fg)}
.rule{stroke:var(--rule);stroke-width:1;fill:none}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.dashed{stroke-dasharray:5 4;stroke-width:1.5}
.band{fill:var(--band)}
${Array.from({ length: 8 }, (_, i) => colourOf(i)).join('\n')}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;padding:0;margin:.75rem 0 0;font-size:.9rem}
.legend li{display:flex;align-items:center;gap:.4rem}
.key{width:24px;height:12px}
details{margin:.75rem 0}
summary{cursor:pointer;font-weight:600}
.wide{overflow-x:auto;margin:.5rem 0}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--rule);white-space:nowrap}
.number{text-align:right}
small{color:var(--soft)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.75rem 0}
dd{margin:0;overflow-wrap:anywhere}
code{font:.85em ui-monospace,monospace}
@media(max-width:30rem){dl{grid-template-columns:1fr}dt{font-weight:600}}
@media print{details:not([open])>*{display:block}}
`

function colourOf(i: number): string {
  return `.line.s${i}{stroke:var(--s${i})}.mark.s${i},.bar.s${i}{fill:var(--s${i})}`
}
