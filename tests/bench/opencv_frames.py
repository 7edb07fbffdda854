"""Frames for tests/bench/frame_path, and OpenCV's CPU time for what the daemon does with them.

opencv_frames.py make FOLDER     writes 720p and 4K frames, MJPEG and YUYV, of a photograph
opencv_frames.py measure FOLDER  one line of JSON a frame
"""

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np

SIDE = 260
SIZES = {"720p": (1280, 720), "4k": (3840, 2160)}
PHOTOGRAPH = "/usr/share/backgrounds/mate/nature/Storm.jpg"


def make(folder: Path) -> None:
    photograph = cv2.imread(PHOTOGRAPH)
    if photograph is None:
        sys.exit(f"{PHOTOGRAPH} is needed: apt-get install -y mate-backgrounds")
    for name, (width, height) in SIZES.items():
        frame = cv2.resize(photograph, (width, height), interpolation=cv2.INTER_AREA)
        options = [cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]
        (folder / f"{name}.mjpg").write_bytes(cv2.imencode(".jpg", frame, options)[1].tobytes())
        yuv = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV)
        packed = np.empty((height, width, 2), np.uint8)
        packed[..., 0] = yuv[..., 0]
        packed[:, 0::2, 1] = yuv[:, 0::2, 1]
        packed[:, 1::2, 1] = yuv[:, 0::2, 2]
        (folder / f"{name}.yuyv").write_bytes(packed.tobytes())


def views(picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    left, top = round(width / 6), round(height / 6)
    cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    cv2.resize(picture[top : height - top, left : width - left], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def look(data: np.ndarray, name: str, width: int, height: int, flag: int) -> None:
    if name.endswith("mjpg"):
        picture = cv2.cvtColor(cv2.imdecode(data, flag), cv2.COLOR_BGR2RGB)
    else:
        picture = cv2.cvtColor(data.copy().reshape(height, width, 2), cv2.COLOR_YUV2RGB_YUYV)
    views(picture)


def least(data: np.ndarray, name: str, width: int, height: int, flag: int) -> float:
    frames = 10 if width > 2000 else 60
    rounds = []
    for _ in range(5):
        begun = time.process_time()
        for _ in range(frames):
            look(data, name, width, height, flag)
        rounds.append((time.process_time() - begun) / frames * 1000)
    return min(rounds)


def measure(folder: Path) -> None:
    cv2.setNumThreads(1)
    for name, (width, height) in SIZES.items():
        for kind in ("mjpg", "yuyv"):
            frame = f"{name}.{kind}"
            data = np.frombuffer((folder / frame).read_bytes(), np.uint8)
            line = {"frame": frame, "ms": least(data, frame, width, height, cv2.IMREAD_COLOR)}
            if kind == "mjpg":
                flag = cv2.IMREAD_REDUCED_COLOR_2 if width > 2000 else cv2.IMREAD_COLOR
                line["reduced_ms"] = least(data, frame, width, height, flag)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    {"make": make, "measure": measure}[sys.argv[1]](Path(sys.argv[2]))
