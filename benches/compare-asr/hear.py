"""Other recognisers on labelled clips: hear.py SETTING MODEL FOLDER [PART-OF-A-NAME]

Word errors are counted as src/bench/wer.rs counts them; the language is known, where a label says so.
"""

import json
import os
import pathlib
import queue
import resource
import sys
import threading
import time

from faster_whisper import WhisperModel, decode_audio
from pywhispercpp.model import Model


def faster_whisper(path, machine, options):
    model = WhisperModel(path, device="cpu", compute_type="int8", **machine)
    known = set(model.supported_languages)

    def hear(samples, language):
        segments, _ = model.transcribe(samples, language=language if language in known else None, **options)
        return " ".join(segment.text for segment in segments)

    return hear


def whisper_cpp(path, strategy, options):
    quiet = {"redirect_whispercpp_logs_to": None, "print_progress": False}
    model = Model(path, params_sampling_strategy=strategy, n_threads=2, **quiet, **options)

    def hear(samples, language):
        # It writes a tag for what it cannot name; a language in two parts is one of those.
        language = language if language and len(language) == 2 else "auto"
        return " ".join(segment.text for segment in model.transcribe(samples, language=language))

    return hear


# Each with the number of clips that it hears at a time, so that both cores have work.
SETTINGS = {
    # Five hypotheses: what faster-whisper does unless told otherwise.
    "default": (1, lambda path: faster_whisper(path, {"cpu_threads": 2}, {})),
    # What is fastest on two cores.
    "fastest": (
        2,
        lambda path: faster_whisper(
            path,
            {"cpu_threads": 1, "num_workers": 2},
            {"beam_size": 1, "best_of": 1, "without_timestamps": True},
        ),
    ),
    # What whisper.cpp does unless told otherwise: greedy, with five tries where it is in doubt.
    "whisper.cpp": (1, lambda path: whisper_cpp(path, 0, {})),
    # What queue workers on whisper.cpp customarily set: five hypotheses over the whole window.
    "worker": (1, lambda path: whisper_cpp(path, 1, {"beam_search": {"beam_size": 5, "patience": -1.0}})),
}


def words(text):
    parts = text.replace("-", " ").split()
    cleaned = ("".join(c for c in part.lower() if c.isalnum()) for part in parts)
    return [word for word in cleaned if word]


def distance(heard, said):
    row = list(range(len(said) + 1))
    for i, word in enumerate(heard):
        diagonal, row[0] = row[0], i + 1
        for j, other in enumerate(said):
            substituted = diagonal + (word != other)
            diagonal = row[j + 1]
            row[j + 1] = min(substituted, row[j] + 1, diagonal + 1)
    return row[-1]


def errors(text, clip):
    readings = [words(clip["text"]), words(clip.get("text_written") or clip["text"])]
    counted = [(distance(words(text), said), len(said)) for said in readings]
    return min(counted, key=lambda count: count[0] / max(count[1], 1))


def main():
    setting, path, folder, *only = sys.argv[1:]
    folder, (at_a_time, engine) = pathlib.Path(folder), SETTINGS[setting]
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    clips = [clip for clip in map(json.loads, lines) if "".join(only) in clip["file"]]
    hear = engine(path)
    waiting, counted = queue.Queue(), []
    for clip in clips:
        waiting.put(clip)

    def work():
        while True:
            try:
                clip = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                samples = decode_audio(str(folder / clip["file"]))
            except Exception as error:  # Some clips are broken on purpose.
                print(f"{clip['file']}: {type(error).__name__}", file=sys.stderr)
                continue
            heard = hear(samples, clip.get("language"))
            # What is not labelled takes time as well.
            counted.append((len(samples) / 16000, *(errors(heard, clip) if clip.get("text") else (0, 0))))

    before, began = os.times(), time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(at_a_time)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, after = time.monotonic() - began, os.times()
    cpu = after.user + after.system - before.user - before.system
    audio, wrong, said = map(sum, zip(*counted))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{setting}: {len(counted)} clips, {audio:.0f} s of audio in {wall:.1f} s, {audio / wall:.1f} × real time; "
        f"{cpu:.1f} s of processor time, {audio / cpu:.1f} × real time a core; "
        f"{100 * wrong / said:.1f} % of words wrong; at most {peak_mib:.0f} MiB"
    )


main()
