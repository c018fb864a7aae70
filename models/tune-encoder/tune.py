"""Tunes the encoder (BitFit, LoRA) with a supervised contrastive loss; see `run`."""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from encoder import Encoder, File
from sets import Requests

# Of biases and scales, and of the maps beside the matrices.
RATE, LOW_RATE = 1.5e-3, 1e-3
WARM_UP, LEAST_RATE = 30, 0.05
TEMPERATURE = 0.1
TOKENS_MAX = 48
# Texts a batch that shall go on meaning what they did.
KEPT = 12
# What it costs that they mean something else.
STAY = 2.0
# All of the way, what it knew of other trades is lost; part of the way keeps it: Wortsman et al., 2022.
SHARE = 0.45
SEED = 1
THREADS = 2


def contrast(directions, labels):
    """Texts of one label shall be nearer to each other than to all others, as seen from their middle."""
    seen = F.normalize(directions - directions.mean(0), dim=-1)
    scores = seen @ seen.T / TEMPERATURE
    same = torch.tensor([[float(a == b) for b in labels] for a in labels]) - torch.eye(len(labels))
    shared = lambda a, b: isinstance(a, frozenset) and a != b and bool(a & b)
    passed_over = torch.tensor([[float(shared(a, b)) for b in labels] for a in labels]) + torch.eye(len(labels))
    shares = torch.log_softmax(scores - 1e4 * passed_over, 1)
    likes = same.sum(1)
    return -((shares * same).sum(1) / likes.clamp(min=1))[likes > 0].mean()


def main(root, folder, steps):
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    requests = Requests(root, folder, SEED)
    for name, texts in requests.sets.items():
        print(f"{name}: {len(texts)} texts, {len(requests.by_label[name])} labels")
    file = File(root / "models" / "e5-small-q4.bin")
    encoder = Encoder(file)
    tokens = {}
    read = lambda texts: [tokens.setdefault(text, file.tokens(text, TOKENS_MAX)) for text in texts]
    kept = list(dict.fromkeys(requests.kept))
    with torch.no_grad():
        before = dict(zip(kept, encoder.in_shares(read(kept))))
    parameters = list(encoder.parameters())
    low = [*encoder.down.values(), *encoder.up.values()]
    optimiser = torch.optim.Adam([{"params": list(encoder.tuned.values())}, {"params": low}])
    lost, started = {}, time.time()
    for step in range(steps):
        part = min(1, (step + 1) / WARM_UP) * max(LEAST_RATE, 1 - step / steps)
        for group, rate in zip(optimiser.param_groups, (RATE, LOW_RATE)):
            group["lr"] = rate * part
        name, texts, labels = requests.batch()
        same = requests.some_kept(KEPT)
        directions = encoder.in_shares(read(texts + same))
        moved = ((directions[len(texts) :] - torch.stack([before[text] for text in same])) ** 2).sum(1).mean()
        loss = contrast(directions[: len(texts)], labels)
        (loss + STAY * moved).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        lost.setdefault(name, []).append(loss.item())
        lost.setdefault("moved", []).append(moved.item())
        if step % 50 == 49:
            means = {name: round(float(np.mean(values[-20:])), 3) for name, values in lost.items()}
            print(f"{step + 1} of {steps}, {time.time() - started:.0f} s: {means}", flush=True)
    encoder.write(root / "src" / "understanding" / "encoder" / "tuning.bin", SHARE)


main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
