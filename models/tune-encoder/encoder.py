"""The sentence encoder as something that can be trained: read from its file, run, and written as differences.

The weights of four bits stay as they are; biases, scales, and a map of low rank beside each matrix are the parameters.
The format is that of src/understanding/encoder/file.rs, the output that of tuning.rs beside it."""

import hashlib
import struct

import numpy as np
import torch
from tokenizers import Tokenizer, models
from torch import nn
from torch.nn import functional as F

PREFIX = "query: "
SPACE = "\u2581"
BLOCK_BYTES = 18
# Numbers that the map beside a matrix goes through.
RANK = 8


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def one(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]


class File:
    """The model's file: shape, pieces, normalisation, tensors."""

    def __init__(self, path):
        self.bytes = path.read_bytes()
        reader = Reader(self.bytes)
        assert reader.take(4) == b"E5S1" and reader.one("I") == 1, "no sentence encoder of the format E5S1, version 1"
        names = ["width", "layers", "heads", "inner", "vocabulary", "positions", "kinds"]
        self.shape = {name: reader.one("I") for name in names}
        self.epsilon = reader.one("f")
        reader.one("I")
        count = reader.one("I")
        self.begin, self.end, _, unknown = (reader.one("I") for _ in range(4))
        text_bytes = reader.one("Q")
        offsets = np.frombuffer(reader.take(4 * (count + 1)), "<u4")
        scores = np.frombuffer(reader.take(4 * count), "<f4")
        text = reader.take(text_bytes)
        pieces = [text[a:b].decode("utf8", "replace") for a, b in zip(offsets, offsets[1:])]
        self.cutter = Tokenizer(models.Unigram([(p, float(s)) for p, s in zip(pieces, scores)], unk_id=unknown))
        characters = reader.one("I")
        reader.one("I")
        self.normalised = {}
        for _ in range(characters):
            of = chr(reader.one("I"))
            self.normalised[of] = "".join(chr(reader.one("I")) for _ in range(reader.take(1)[0]))
        self.directory = {}
        for _ in range(reader.one("I")):
            name = reader.take(reader.one("H")).decode()
            kind = reader.take(1)[0]
            reader.one("I")
            self.directory[name] = (kind, reader.one("Q"), reader.one("Q"))

    def part(self, name):
        kind, start, size = self.directory[name]
        return kind, self.bytes[start : start + size]

    def numbers(self, name, count):
        return torch.from_numpy(np.frombuffer(self.part(name)[1], "<f4")[:count].copy())

    def matrix(self, name, outputs, inputs):
        blocks = np.frombuffer(self.part(name)[1], np.uint8).reshape(-1, BLOCK_BYTES)
        return torch.from_numpy(unpacked(blocks).reshape(outputs, inputs))

    def tokens(self, text, most):
        out = [SPACE]
        for character in PREFIX + text:
            for c in self.normalised.get(character, character):
                c = SPACE if c == " " else c
                if c != SPACE or out[-1] != SPACE:
                    out.append(c)
        return [self.begin, *self.cutter.encode("".join(out)).ids[: most - 2], self.end]


def unpacked(blocks):
    scales = blocks[..., :2].copy().view("<f2").astype(np.float32)
    bits = blocks[..., 2:]
    return (np.concatenate([bits & 15, bits >> 4], -1).astype(np.float32) - 8) * scales


class Encoder(nn.Module):
    """Texts as lists of tokens become directions of length 1, as encoder/mod.rs has them."""

    def __init__(self, file):
        super().__init__()
        self.file, shape = file, file.shape
        self.width, self.inner = shape["width"], shape["inner"]
        words = np.frombuffer(file.part("emb.word")[1], np.uint8)
        self.words = words.reshape(shape["vocabulary"], -1, BLOCK_BYTES)
        kind = file.numbers("emb.type", self.width)
        self.places = file.numbers("emb.pos", shape["positions"] * self.width).view(-1, self.width) + kind
        self.weights, self.original, tuned = {}, {}, {}
        for layer in range(shape["layers"]):
            for name, outputs, inputs in self.linears():
                matrix = file.matrix(f"l{layer}.{name}.w", outputs, inputs)
                self.weights[f"l{layer}.{name}"] = matrix.bfloat16()
                self.original[f"l{layer}.{name}.b"] = file.numbers(f"l{layer}.{name}.b", outputs)
        norms = ["emb.ln"] + [f"l{layer}.{name}" for layer in range(shape["layers"]) for name in ("aln", "oln")]
        for name in (f"{norm}.{part}" for norm in norms for part in "wb"):
            self.original[name] = file.numbers(name, self.width)
        for name, numbers in self.original.items():
            tuned[name.replace(".", "_")] = nn.Parameter(numbers.clone())
        self.tuned = nn.ParameterDict(tuned)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for name, matrix in self.weights.items():
            outputs, inputs = matrix.shape
            self.down[name.replace(".", "_")] = nn.Parameter(torch.randn(RANK, inputs) / inputs**0.5)
            self.up[name.replace(".", "_")] = nn.Parameter(torch.zeros(outputs, RANK))

    def linears(self):
        square = [(name, self.width, self.width) for name in ("q", "k", "v", "ao")]
        return [*square, ("fi", self.inner, self.width), ("fo", self.width, self.inner)]

    def now(self, name):
        return self.tuned[name.replace(".", "_")]

    def linear(self, name, x):
        x, key = x.bfloat16(), name.replace(".", "_")
        beside = F.linear(F.linear(x, self.down[key].bfloat16()), self.up[key].bfloat16())
        return (F.linear(x, self.weights[name]) + beside).float() + self.now(name + ".b")

    def norm(self, name, x):
        return F.layer_norm(x, (self.width,), self.now(name + ".w"), self.now(name + ".b"), self.file.epsilon)

    def forward(self, texts):
        longest = max(map(len, texts))
        ids, there = np.ones((len(texts), longest), np.int64), torch.zeros(len(texts), longest)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            there[row, : len(text)] = 1
        words = torch.from_numpy(unpacked(self.words[ids]).reshape(*ids.shape, -1))
        x = self.norm("emb.ln", words + self.places[:longest])
        absent = (there[:, None, None, :] - 1) * 1e4
        for layer in range(self.file.shape["layers"]):
            x = self.layer(f"l{layer}.", x, absent)
        return F.normalize((x * there[..., None]).sum(1), dim=-1)

    def layer(self, name, x, absent):
        heads = self.file.shape["heads"]
        part = self.width // heads
        split = lambda x: x.view(*x.shape[:2], heads, part).transpose(1, 2)
        query, key, value = (split(self.linear(name + n, x)) for n in ("q", "k", "v"))
        fit = torch.softmax(query @ key.transpose(2, 3) * part**-0.5 + absent, -1)
        attended = (fit @ value).transpose(1, 2).reshape(x.shape)
        x = self.norm(name + "aln", x + self.linear(name + "ao", attended))
        return self.norm(name + "oln", x + self.linear(name + "fo", F.gelu(self.linear(name + "fi", x))))

    def in_shares(self, texts, share=48):
        """The same with texts of like length together, so that little is computed in vain."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = [self([texts[i] for i in order[at : at + share]]) for at in range(0, len(order), share)]
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[back]

    def write(self, path, share):
        """`share` of the way from the file's model to what was learnt."""
        learnt = {name: share * (self.now(name) - numbers) for name, numbers in self.original.items()}
        for name in self.weights:
            learnt[name + ".down"] = self.down[name.replace(".", "_")]
            learnt[name + ".up"] = share * self.up[name.replace(".", "_")]
        out = [b"E5T1", hashlib.sha256(self.file.bytes).digest()]
        for name, numbers in sorted(learnt.items()):
            numbers = numbers.detach().numpy().astype("<f2")
            out += [bytes([len(name)]), name.encode(), struct.pack("<I", numbers.size), numbers.tobytes()]
        path.write_bytes(b"".join(out))
