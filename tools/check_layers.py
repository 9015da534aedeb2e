#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Checks that src/ keeps its layers: who may include whom, which folder may use which library, where memory comes from,
and that nothing outside the program prints or exits."""
import pathlib
import re
import sys

LAYERS = ["base", "capture", "dataset", "feed", "graph", "learn", "model", "onnx", "perceive", "policy", "run", "serve", "sim",
          "studio", "teach", "tool"]
# Beyond the order of the list: the robot never links the trainer; the trainer never names a policy.
FORBIDDEN = {"run": {"learn", "feed"}, "learn": {"policy", "model"}}
SEES_BOTH_RUN_AND_LEARN = {"teach", "tool"}
THIRD_PARTY = [  # header, the folders that may include it
    (r"jansson\.h|jpeglib\.h|jerror\.h|png\.h", ["base"]),
    (r"sqlite3\.h|blosc\.h|zlib\.h|hdf5\.h|libav\w+/.*|libswscale/.*|carquet.*", ["dataset"]),
    (r"(oneapi/)?dnnl/.*|dnnl\w*\.h", ["graph/dnnl"]),
    (r"chipmunk/.*|mujoco/.*", ["sim"]),
    (r"linux/openat2\.h|sys/syscall\.h", ["base"]),
    (r"linux/videodev2\.h|linux/input\.h|libevdev/.*", ["capture"]),
    (r"mpi\.h", ["learn"]),
    (r"civetweb\.h|msgpack.*", ["serve"]),
]
STANDARD = set("""assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic
stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time wchar wctype
arpa/inet dirent dlfcn fcntl glob libgen netdb netinet/in netinet/tcp poll pthread pwd sched semaphore strings sys/file sys/ioctl
sys/mman sys/prctl sys/resource sys/select sys/socket sys/stat sys/statvfs sys/time sys/types sys/uio sys/un sys/utsname sys/vfs sys/wait
spawn termios unistd malloc sys/auxv asm/hwcap cpuid immintrin nmmintrin arm_acle arm_neon""".split())
PRINTS = re.compile(r"(?<![\w.>])(printf|puts|putchar|perror|exit|_exit|_Exit|abort|quick_exit)\s*\(|\b(stdout|stderr)\b")
# Chipmunk prints a line when its first space is made: the one place that has to keep it from standard output.
# Children must not run what the program registered for its end: one that cannot become mynah-video, and the watchdog.
MAY_NAME = {("src/sim/pusht.c", "stdout"), ("src/dataset/video.c", "_exit"), ("src/run/watchdog.c", "_exit")}
MEMORY = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|strdup|strndup|aligned_alloc|posix_memalign|memalign|v?asprintf)\s*\(")


def strip(text):
    """Comments and the insides of texts become blanks; lines stay."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group(0)) if m.group(0)[0] == "/" else m.group(0)[0] + m.group(0)[0]
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def check_include(path, layer, line, problems, seen):
    quoted = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
    if quoted:
        name = quoted.group(1)
        if name.endswith("_embedded.h"):
            return  # made at build time
        target = (path.parent / name).resolve()
        if not target.exists() or pathlib.Path("src", layer).resolve() not in target.parents:
            problems.append('includes "%s": a private header is found only from its own folder' % name)
        return
    angled = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
    if not angled:
        return
    name = angled.group(1)
    if name.startswith("mynah/"):
        other = name[6:-2]
        if other == "mynah":
            if layer != "tool":
                problems.append("includes <mynah/mynah.h>, which is for users")
            return
        if other not in LAYERS or LAYERS.index(other) > LAYERS.index(layer):
            problems.append("includes <%s>, a later layer" % name)
        if other in FORBIDDEN.get(layer, ()):
            problems.append("includes <%s>: src/%s must not know %s" % (name, layer, other))
        seen.add(other)
        return
    for pattern, folders in THIRD_PARTY:
        if re.fullmatch(pattern, name):
            if not any(str(path).startswith("src/%s/" % f) for f in folders):
                problems.append("includes <%s>, which only src/%s may" % (name, ", src/".join(folders)))
            return
    if name[:-2] not in STANDARD:
        problems.append("includes <%s>, which is neither standard nor in tools/check_layers.py" % name)


def main():
    n_problems = n_files = 0
    together = {}
    for path in sorted(pathlib.Path("src").rglob("*.[ch]")):
        layer, text = path.parts[1], path.read_text(encoding="utf-8")
        n_files += 1
        problems = []
        if layer not in LAYERS:
            problems.append("src/%s is no layer" % layer)
        else:
            for line in text.splitlines():
                check_include(path, layer, line, problems, together.setdefault(layer, set()))
            code = strip(text)
            if layer != "tool":
                problems += ["calls or names '%s', which only src/tool may" % (a or b) for a, b in PRINTS.findall(code)
                             if (str(path), a or b) not in MAY_NAME]
            if str(path) != "src/base/alloc.c":
                problems += ["calls %s: memory comes from mynah_alloc" % name for name in MEMORY.findall(code)]
        for problem in problems:
            print("%s: %s" % (path, problem))
        n_problems += len(problems)
    for layer, seen in together.items():
        if {"run", "learn"} <= seen | {layer} and layer not in SEES_BOTH_RUN_AND_LEARN:
            print("src/%s: sees run and learn together, which only src/teach and src/tool may" % layer)
            n_problems += 1
    print("layers: %d files, %d problems" % (n_files, n_problems))
    sys.exit(1 if n_problems or not n_files else 0)


main()
