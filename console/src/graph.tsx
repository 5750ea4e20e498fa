// Things in ranks and what leads to what: each a link, with lines between them where there is room.
// On a narrow screen the ranks stand under one another.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";

export interface Node {
  id: string;
  title: string;
  href: string;
  detail?: ComponentChildren;
  from: string[]; // ids of nodes in ranks before it
}
export interface Rank {
  title: string;
  nodes: Node[];
  more?: string; // what is not shown
}

interface Line {
  key: string;
  path: string;
}

// Between the right edge of one and the left edge of the other, as they are laid out.
function lineBetween(box: DOMRect, from: Element, to: Element): string {
  const [a, b] = [from.getBoundingClientRect(), to.getBoundingClientRect()];
  const [x1, y1] = [a.right - box.left, a.top + a.height / 2 - box.top];
  const [x2, y2] = [b.left - box.left, b.top + b.height / 2 - box.top];
  const middle = (x1 + x2) / 2;
  return `M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`;
}

export function Graph({ label, ranks }: { label: string; ranks: Rank[] }) {
  const root = useRef<HTMLDivElement>(null);
  const [lines, setLines] = useState<Line[]>([]);
  const shown = ranks.filter((rank) => rank.nodes.length > 0);
  const titles = new Map(shown.flatMap((rank) => rank.nodes.map((node) => [node.id, node.title])));
  useLayoutEffect(() => {
    const place = root.current;
    if (!place) return;
    const draw = () => {
      const box = place.getBoundingClientRect();
      const element = (id: string) => place.querySelector(`[data-node="${CSS.escape(id)}"]`);
      const found: Line[] = [];
      for (const node of shown.flatMap((rank) => rank.nodes)) {
        const to = element(node.id);
        for (const id of node.from) {
          const from = element(id);
          if (from && to) found.push({ key: `${id} ${node.id}`, path: lineBetween(box, from, to) });
        }
      }
      setLines(found);
    };
    draw();
    const observer = new ResizeObserver(draw);
    observer.observe(place);
    return () => observer.disconnect();
  }, [JSON.stringify(shown.map((rank) => rank.nodes.map((node) => [node.id, node.from])))]);
  const origins = (node: Node) => node.from.map((id) => titles.get(id)).filter(Boolean).join(", ");
  return (
    <div class="graph" ref={root} role="group" aria-label={label}>
      <svg class="graph-lines" aria-hidden="true">
        {lines.map((line) => (
          <path key={line.key} d={line.path} />
        ))}
      </svg>
      {shown.map((rank) => (
        <div key={rank.title} class="rank">
          <h3>{rank.title}</h3>
          <ul>
            {rank.nodes.map((node) => (
              <li key={node.id}>
                <a class="node" data-node={node.id} href={node.href}>
                  <b>{node.title}</b>
                  {node.detail && <span>{node.detail}</span>}
                  {origins(node) && <span class="hidden"> from {origins(node)}</span>}
                </a>
              </li>
            ))}
          </ul>
          {rank.more && <p class="quiet small">{rank.more}</p>}
        </div>
      ))}
    </div>
  );
}
