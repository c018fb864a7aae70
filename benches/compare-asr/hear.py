"""faster-whisper on labelled clips: hear.py MODEL fastest|default FOLDER [PART-OF-A-NAME]

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

SETTINGS = {
    # One worker with both cores, five hypotheses: what it does unless told otherwise.
    "default": ({"cpu_threads": 2, "num_workers": 1}, {}),
    # What is fastest on two cores.
    "fastest": ({"cpu_threads": 1, "num_workers": 2}, {"beam_size": 1, "best_of": 1, "without_timestamps": True}),
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
    path, setting, folder, *only = sys.argv[1:]
    folder, (machine, options) = pathlib.Path(folder), SETTINGS[setting]
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    clips = [clip for clip in map(json.loads, lines) if clip.get("text") and "".join(only) in clip["file"]]
    model = WhisperModel(path, device="cpu", compute_type="int8", **machine)
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
            segments, _ = model.transcribe(samples, language=clip.get("language"), **options)
            wrong, said = errors(" ".join(segment.text for segment in segments), clip)
            counted.append((len(samples) / 16000, wrong, said))

    before, began = os.times(), time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(machine["num_workers"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, after = time.monotonic() - began, os.times()
    cpu = after.user + after.system - before.user - before.system
    audio, wrong, said = map(sum, zip(*counted))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{setting}: {len(counted)} clips, {audio:.0f} s of audio in {wall:.1f} s, {audio / wall:.1f} × real time; "
        f"{cpu:.1f} s of processor time, {audio / cpu:.1f} × real time a core; "
        f"{100 * wrong / said:.1f} % of words wrong; at most {peak_mb:.0f} MB"
    )


main()
