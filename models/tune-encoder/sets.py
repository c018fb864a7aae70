"""What the encoder is tuned on: public sets of labelled requests, and everyday talk that is like none.

A set is a list of (text, label). Which sets there are, where they come from, and under which licences, says README.md."""

import csv
import json
import random
import re

import yaml

MARKED = re.compile(r"\[([^\]]*)\](\([^)]*\)|\{[^}]*\})")
ENTITY = re.compile(r"\{[^{}=]*=([^{}]*)\}")
ASSISTANT = "samples/csharp/assistants/enterprise-assistant/VirtualAssistantSample"
SKILLS = (
    "Calendar", "Email", "PointOfInterest", "ToDo", "MusicSkill", "News", "Hospitality", "phone", "WeatherSkill", "Event",
    "Settings", "BingSearchSkill", "ITSM", "Restaurant", "General",
)  # fmt: skip
SKILL_LANGUAGES = ("en-us", "de-de", "es-es", "fr-fr", "it-it")
CHARACTERS_MAX = 120
# Of a command in a language.
TEXTS_MAX = 250


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


def small_talk(folder, language):
    """What people say to an assistant that is none of its business, and about itself."""
    file = folder / "botframework-solutions" / ASSISTANT / "Deployment" / "Resources" / "QnA" / language / "Chitchat.qna"
    out, label = {}, None
    for line in file.read_text("utf8").splitlines():
        if line.startswith("## ? "):
            label = line[5:].strip()
            out[label, label] = None
        elif line.startswith("- ") and not line.startswith("- editorial"):
            out[line[2:].strip(), label] = None
    return [(text, label) for text, label in out if text and len(text) < CHARACTERS_MAX]


def skills(folder):
    """(text, label, language): commands to an assistant. Texts with what is still a pattern are left out."""
    out = {}
    for file in sorted((folder / "botframework-skills" / "skills" / "csharp").glob("**/LU/*/*.lu")):
        language = file.parent.name
        if file.stem not in SKILLS or language not in SKILL_LANGUAGES:
            continue
        label = None
        for line in file.read_text("utf-8-sig").splitlines():
            if name := re.match(r"#+ (\w+)", line):
                label = None if name[1] == "None" else f"{file.stem}/{name[1]}"
            elif line.startswith(("$", "@")):
                label = None
            elif label and line.startswith("- "):
                text = without_entities(line[2:].strip())
                if text and not re.search(r"[{}\[\]^|@$]", text) and len(text) < CHARACTERS_MAX:
                    out.setdefault((label, language), {})[text] = None
    return [(text, label, language) for (label, language), texts in out.items() for text in list(texts)[:TEXTS_MAX]]


def without_entities(text):
    while (plain := ENTITY.sub(r"\1", text)) != text:
        text = plain
    return text


def everyday(root):
    """What people say that is nobody's business; each line is a label of its own."""
    background = (root / "src" / "understanding" / "intent" / "background.txt").read_text("utf8").splitlines()
    return [(line, ("everyday", number)) for number, line in enumerate(background) if line.strip()]


def plain_german(folder):
    """Sentences without labels, whose meaning shall stay."""
    file = folder / "NLU-Evaluation-Data-de-en" / "NLU-Data-Home-Domain-similarity-de.csv"
    return [text for row in list(csv.reader(file.open(encoding="utf8")))[1:] for text in row[1:3]]


class Requests:
    """Draws batches, each from one set: some texts a label, and texts of other sets that have no like."""

    # How often each is drawn from.
    SHARES = {
        "hwu64": 4, "dstc11": 3, "multidogo": 1.5, "bitext": 1.5, "nlu++": 2, "home assistant": 1.5, "nlp.js": 1, "rasa": 0.5,
        "small talk en": 1.5, "small talk de": 1, "skills": 3,
    }  # fmt: skip
    LABELS, TEXTS, STRANGERS = 20, 4, 14
    # Of the languages that a command is there in, these come more often.
    PREFERRED = {"home assistant": ("de", "de-CH", "en", "de"), "skills": ("en-us", "de-de", "en-us")}
    # To these, an everyday sentence is added now and then.
    RAMBLING = ("bitext", "dstc11", "skills")
    LETTERS = "aeiouäöürnstlmhdbg"

    def __init__(self, root, folder, seed):
        self.random = random.Random(seed)
        # The same in several languages: (text, label, language).
        commands = {"home assistant": home_assistant(folder), "skills": skills(folder)}
        plain = {name: [(text, label) for text, label, _ in texts] for name, texts in commands.items()}
        self.sets = {
            "hwu64": hwu64(folder),
            "dstc11": dstc11(folder),
            "multidogo": multi_do_go(folder),
            "bitext": bitext(folder),
            "nlp.js": nlp_js(folder),
            "nlu++": nlu_plus_plus(folder),
            "everyday": everyday(root),
            "rasa": rasa(folder),
            "home assistant": plain["home assistant"],
            "small talk en": small_talk(folder, "en-us"),
            "small talk de": small_talk(folder, "de-de"),
            "skills": plain["skills"],
        }
        # By label, then by language.
        self.commands = {name: {} for name in commands}
        for name, texts in commands.items():
            for text, label, language in texts:
                self.commands[name].setdefault(label, {}).setdefault(language, []).append(text)
        self.by_label = {name: {} for name in self.sets}
        for name, texts in self.sets.items():
            for text, label in texts:
                self.by_label[name].setdefault(label, []).append(text)
        self.background = [text for text, _ in self.sets["everyday"]]
        self.kept = plain_german(folder) + self.background

    def batch(self):
        name = self.random.choices(list(self.SHARES), list(self.SHARES.values()))[0]
        pairs = [(self.changed(text, name), label) for text, label in self.drawn(name)]
        if name != "nlu++":
            # Neither is small talk in another language a stranger, nor can one of several intents be one.
            kind = lambda of: "small talk" if of.startswith("small talk") else of
            others = [other for other in self.sets if kind(other) != kind(name) and other != "nlu++"]
            strangers = (self.random.choice(self.sets[self.random.choice(others)])[0] for _ in range(self.STRANGERS))
            pairs += [(text, ("stranger", number)) for number, text in enumerate(strangers)]
        return name, [text for text, _ in pairs], [label for _, label in pairs]

    def drawn(self, name):
        by_label = self.by_label[name]
        if name == "nlu++":
            return self.random.sample(self.sets[name], self.LABELS * self.TEXTS)
        if name in self.commands:
            labels = self.labels(self.commands[name])
            return list(dict.fromkeys(self.command(name, label) for label in labels for _ in range(self.TEXTS)))
        labels = self.labels([label for label, texts in by_label.items() if len(texts) > 1])
        few = lambda texts: self.random.sample(texts, min(self.TEXTS, len(texts)))
        return [(text, label) for label in labels for text in few(by_label[label])]

    def labels(self, labels):
        return self.random.sample(list(labels), min(self.LABELS, len(labels)))

    def command(self, name, label):
        by_language = self.commands[name][label]
        preferred = [language for language in self.PREFERRED[name] if language in by_language]
        some = preferred if preferred and self.random.random() < 0.6 else list(by_language)
        return self.random.choice(by_language[self.random.choice(some)]), label

    def changed(self, text, name):
        """As recognisers and people write it: without marks, with other letters, among other sentences."""
        chance = self.random.random()
        if chance < 0.15:
            return re.sub(r"[.,!?]", "", text).lower()
        if chance < 0.27:
            return " ".join(map(self.misheard, text.split(" ")))
        if chance < 0.37 and name in self.RAMBLING:
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
