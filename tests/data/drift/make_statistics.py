"""Writes statistics.json beside it: distances between histograms as SciPy gives them.

    make_statistics.py     with scipy 1.x and numpy; run by hand, its result is committed
"""

import json
import pathlib

import numpy
from scipy import spatial, special, stats

random = numpy.random.default_rng(2026)
rows = []
for number in range(240):
    bins = int(random.integers(1, 20))
    scale = 10 ** random.uniform(1, 5)
    shares = random.dirichlet(numpy.ones(bins) * random.uniform(0.2, 5))
    others = shares if number % 3 == 0 else random.dirichlet(numpy.ones(bins))
    p = random.multinomial(int(scale), shares)
    q = random.multinomial(int(10 ** random.uniform(1, 5)), others)
    positions = numpy.sort(random.normal(size=bins) * 10)
    # As documented: a bin that is empty in one of them counts there as half an observation.
    used = (p > 0) | (q > 0)
    sp, sq = numpy.maximum(p, 0.5)[used] / p.sum(), numpy.maximum(q, 0.5)[used] / q.sum()
    distance = numpy.abs(numpy.cumsum(p) / p.sum() - numpy.cumsum(q) / q.sum()).max()
    trials, rate = int(random.integers(1, 1000)), float(random.uniform(0.001, 0.5))
    hits = int(random.integers(0, trials + 1))
    p_values = random.uniform(size=int(random.integers(1, 60))) ** random.uniform(1, 6)
    rows.append({
        "reference": p.tolist(), "current": q.tolist(), "positions": positions.tolist(),
        "psi": float(((sq - sp) * numpy.log(sq / sp)).sum()),
        "jensenshannon": float(spatial.distance.jensenshannon(p, q, base=2)),
        "wasserstein": float(stats.wasserstein_distance(positions, positions, p, q)),
        "ks": float(distance),
        "ks_p": float(special.kolmogorov(distance * numpy.sqrt(p.sum() * q.sum() / (p.sum() + q.sum())))),
        "hits": hits, "trials": trials, "rate": rate, "binomial_tail": float(stats.binom.sf(hits - 1, trials, rate)),
        "p_values": p_values.tolist(), "adjusted": stats.false_discovery_control(p_values).tolist(),
    })
text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
(pathlib.Path(__file__).parent / "statistics.json").write_text(text)
