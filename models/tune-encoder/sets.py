"""What the encoder is tuned on: public sets of labelled requests, and the program's own texts.

A set is a list of (text, label). Which sets there are, where they come from, and under which licences, says README.md."""

import csv
import json
import random
import re
import tomllib

import yaml

MARKED = re.compile(r"\[([^\]]*)\](\([^)]*\)|\{[^}]*\})")


def hwu64(folder):
    at = folder / "Few-Shot-Intent-Detection" / "Datasets" / "HWU64"
    lines = lambda file: file.read_text("utf8").splitlines()
    parts = [at / part for part in ("train", "valid", "test")]
    return [pair for part in parts for pair in zip(lines(part / "seq.in"), lines(part / "label")) if pair[0].strip()]


def bitext(folder):
    data = folder / "customer-support-intent-detection-training-dataset" / "data" / "train"
    rows = list(csv.reader((data / "Bitext_Sample_Customer_Service_Training_Dataset.csv").open(encoding="utf8")))[1:]
    return [(re.sub(r"\{\{.*?\}\}", "", row[0]), row[1]) for row in rows]


def nlp_js(folder):
    out = []
    for file in sorted((folder / "nlp.js" / "examples" / "13-languages" / "corpora").glob("*.json")):
        for intent in json.loads(file.read_text("utf8"))["data"]:
            out += [(text, intent.get("intent") or intent.get("name")) for text in intent.get("utterances", [])]
    return out


def nlu_plus_plus(folder):
    """Several intents a text: the label is the set of them."""
    out = []
    for file in sorted((folder / "task-specific-datasets" / "nlupp" / "data").glob("*/fold*.json")):
        notes = json.loads(file.read_text("utf8"))
        out += [(note["text"], frozenset(note["intents"])) for note in notes if note.get("intents")]
    return out


def rasa(folder):
    out = []
    for file in sorted((folder / "NLU-training-data").glob("*/nlu.yml")):
        for intent in yaml.safe_load(file.read_text("utf8")).get("nlu", []):
            if "intent" not in intent or not isinstance(intent.get("examples"), str):
                continue
            texts = (MARKED.sub(r"\1", line.strip().lstrip("-").strip()) for line in intent["examples"].splitlines())
            out += [(text, f"{file.parent.name}/{intent['intent']}") for text in texts if text]
    return out


def home_assistant(folder):
    """(text, label, language): the same commands in some fifty languages, Swiss German among them."""
    out = []
    for file in sorted((folder / "intents" / "tests").glob("*/*.yaml")):
        content = yaml.load(file.read_text("utf8"), Loader=yaml.CSafeLoader)
        if file.name.startswith("_") or not isinstance(content, dict):
            continue
        for test in content.get("tests") or []:
            intent = test.get("intent")
            name = intent.get("name") if isinstance(intent, dict) else intent
            label = f"{file.name.split('_')[0]}/{name}"
            texts = (text for text in test.get("sentences", []) if isinstance(text, str) and text.strip())
            out += [(text.strip(), label, content["language"]) for text in texts]
    return out


def dstc11(folder):
    """What customers said on the telephone to banks and insurers."""
    out = []
    for part in ("development", "test-banking", "test-finance"):
        file = folder / "dstc11-track2-intent-induction" / "dstc11" / part / "test-utterances.jsonl"
        notes = map(json.loads, file.read_text("utf8").splitlines())
        out += [(note["utterance"], f"{part}/{note['intent']}") for note in notes]
    return out


def multi_do_go(folder):
    """Turns of customers in six trades; what is neither a wish nor a courtesy is left out."""
    at = folder / "multi-domain-goal-oriented-dialogues-dataset" / "data" / "paper_splits"
    everywhere = {"openinggreeting", "closinggreeting", "thankyou", "confirmation", "rejection"}
    counted = {}
    for file in sorted((at / "splits_annotated_at_turn_level").glob("*/train.tsv")):
        for line in file.read_text("utf8").splitlines()[1:]:
            columns = line.split("\t")
            if len(columns) != 6 or not columns[5].isalpha() or columns[5] in ("contentonly", "outofdomain"):
                continue
            label = columns[5] if columns[5] in everywhere else f"{file.parent.name}/{columns[5]}"
            counted.setdefault(label, {})[columns[3].strip()] = None
    return [(text, label) for label, texts in counted.items() if len(texts) >= 5 for text in list(texts)[:500]]


def own(root):
    """The built-in playbook, and the background, each line of which is a label of its own."""
    playbook = tomllib.loads((root / "config" / "playbook.toml").read_text("utf8"))
    out = [(text, intent["name"]) for intent in playbook["intent"] for text in intent["examples"]]
    background = (root / "src" / "understanding" / "intent" / "background.txt").read_text("utf8").splitlines()
    return out + [(line, ("background", number)) for number, line in enumerate(background) if line.strip()]


def plain_german(folder):
    """Sentences without labels, whose meaning shall stay."""
    file = folder / "NLU-Evaluation-Data-de-en" / "NLU-Data-Home-Domain-similarity-de.csv"
    return [text for row in list(csv.reader(file.open(encoding="utf8")))[1:] for text in row[1:3]]


class Requests:
    """Draws batches, each from one set: some texts a label, and texts of other sets that have no like."""

    # How often each is drawn from.
    SHARES = {
        "hwu64": 4, "dstc11": 3, "multidogo": 1.5, "bitext": 1.5, "nlu++": 2, "own": 2.5, "home assistant": 1.5,
        "nlp.js": 1, "rasa": 0.5,
    }  # fmt: skip
    LABELS, TEXTS, STRANGERS = 20, 4, 14
    # Of the languages that a command is there in, these come more often.
    PREFERRED = ("de", "de-CH", "en", "de")
    LETTERS = "aeiouäöürnstlmhdbg"

    def __init__(self, root, folder, seed):
        self.random = random.Random(seed)
        commands = home_assistant(folder)
        self.sets = {
            "hwu64": hwu64(folder),
            "dstc11": dstc11(folder),
            "multidogo": multi_do_go(folder),
            "bitext": bitext(folder),
            "nlp.js": nlp_js(folder),
            "nlu++": nlu_plus_plus(folder),
            "own": own(root),
            "rasa": rasa(folder),
            "home assistant": [(text, label) for text, label, _ in commands],
        }
        self.by_label = {name: {} for name in self.sets}
        for name, texts in self.sets.items():
            for text, label in texts:
                self.by_label[name].setdefault(label, []).append(text)
        self.commands = {}
        for text, label, language in commands:
            self.commands.setdefault(label, {}).setdefault(language, []).append(text)
        self.background = [text for text, label in self.sets["own"] if isinstance(label, tuple)]
        self.kept = plain_german(folder) + [text for text, _ in self.sets["own"]]

    def batch(self):
        name = self.random.choices(list(self.SHARES), list(self.SHARES.values()))[0]
        pairs = [(self.changed(text, name), label) for text, label in self.drawn(name)]
        if name != "nlu++":
            others = [other for other in self.sets if other not in (name, "nlu++")]
            strangers = (self.random.choice(self.sets[self.random.choice(others)])[0] for _ in range(self.STRANGERS))
            pairs += [(text, ("stranger", number)) for number, text in enumerate(strangers)]
        return name, [text for text, _ in pairs], [label for _, label in pairs]

    def drawn(self, name):
        by_label = self.by_label[name]
        if name == "nlu++":
            return self.random.sample(self.sets[name], self.LABELS * self.TEXTS)
        if name == "home assistant":
            labels = self.labels(self.commands)
            return list(dict.fromkeys(self.command(label) for label in labels for _ in range(self.TEXTS)))
        labels = self.labels([label for label, texts in by_label.items() if len(texts) > 1])
        if name == "own":
            labels += self.random.sample([label for label, texts in by_label.items() if len(texts) == 1], self.LABELS)
        few = lambda texts: self.random.sample(texts, min(self.TEXTS, len(texts)))
        return [(text, label) for label in labels for text in few(by_label[label])]

    def labels(self, labels):
        return self.random.sample(list(labels), min(self.LABELS, len(labels)))

    def command(self, label):
        by_language = self.commands[label]
        preferred = [language for language in self.PREFERRED if language in by_language]
        some = preferred if preferred and self.random.random() < 0.6 else list(by_language)
        return self.random.choice(by_language[self.random.choice(some)]), label

    def changed(self, text, name):
        """As recognisers and people write it: without marks, with other letters, among other sentences."""
        chance = self.random.random()
        if chance < 0.15:
            return re.sub(r"[.,!?]", "", text).lower()
        if chance < 0.27:
            return " ".join(map(self.misheard, text.split(" ")))
        if chance < 0.37 and name == "own":
            other = self.random.choice(self.background)
            return f"{other} {text}" if self.random.random() < 0.5 else f"{text} {other}"
        return text

    def misheard(self, word):
        if len(word) <= 3 or self.random.random() >= 0.25:
            return word
        at, chance = self.random.randrange(1, len(word)), self.random.random()
        letter = "" if chance < 0.35 else self.random.choice(self.LETTERS)
        return word[:at] + letter + word[at + (chance < 0.75) :]

    def some_kept(self, count):
        return self.random.sample(self.kept, count)
