"""Boxes: parcels, gifts and crates."""

from __future__ import annotations

import math

import cv2
import numpy as np

from jetson_detect.core.scenes.arrays import Float, Image, to_bytes
from jetson_detect.core.scenes.colours import Colour, hsv, mix, random_colour
from jetson_detect.core.scenes.noise import smooth_noise
from jetson_detect.core.scenes.sprites import Canvas


def _face_texture(rng: np.random.Generator, colour: Colour, style: int, accent: Colour) -> Image:
    """Return one side of a box, ``(96, 96, 3)`` ``uint8`` BGR."""
    side = 96
    grain = 7.0 * smooth_noise(rng, side, side, 6, 3)
    face = to_bytes(np.array(colour, np.float32) + grain[..., None])
    if style == 0:  # packing tape and a label
        cv2.rectangle(face, (40, 0), (56, side), mix(colour, (200.0, 220.0, 230.0), 0.45), -1)
        if rng.uniform() < 0.7:
            left, top = int(rng.integers(6, 40)), int(rng.integers(50, 64))
            cv2.rectangle(face, (left, top), (left + 30, top + 22), (232.0, 238.0, 240.0), -1)
            for line in range(3):
                end = left + int(rng.integers(12, 27))
                row = top + 5 + 6 * line
                cv2.line(face, (left + 3, row), (end, row), (60.0, 60.0, 60.0), 2)
    elif style == 1:  # gift ribbon
        cv2.rectangle(face, (38, 0), (58, side), accent, -1)
        cv2.rectangle(face, (0, 38), (side, 58), accent, -1)
    elif style == 2:  # stripes
        for start in range(0, 2 * side, 24):
            cv2.line(face, (start, -4), (start - side, side), accent, 7, cv2.LINE_AA)
    elif style == 3:  # crate
        for row in range(0, side, 24):
            cv2.line(face, (0, row), (side, row), mix(colour, (20.0, 25.0, 35.0), 0.6), 3)
        dark = mix(colour, (20.0, 25.0, 35.0), 0.25)
        cv2.rectangle(face, (4, 4), (side - 5, side - 5), dark, 9)
    elif style == 4:  # a printed mark
        cv2.circle(face, (48, 48), int(rng.integers(16, 30)), accent, -1, cv2.LINE_AA)
        cv2.circle(face, (48, 48), 9, colour, -1, cv2.LINE_AA)
    cv2.rectangle(face, (0, 0), (side - 1, side - 1), mix(colour, (10.0, 10.0, 10.0), 0.35), 2)
    return face


def draw_box(rng: np.random.Generator, canvas: Canvas, light: Float) -> None:
    """Draw a box of which three sides can be seen."""
    yaw = rng.uniform(0.2, 1.37)  # away from 0 and 90 degrees, where only one side shows
    lift = rng.uniform(0.25, 0.62)
    wide, deep, tall = rng.uniform(0.65, 1.0), rng.uniform(0.65, 1.0), rng.uniform(0.4, 1.05)
    right = np.array([math.cos(yaw), math.sin(yaw) * math.sin(lift)]) * wide
    back = np.array([-math.sin(yaw), math.cos(yaw) * math.sin(lift)]) * deep
    down = np.array([0.0, math.cos(lift)]) * tall
    # Corners of the top, from the far one on: far, right, near, left. Both sides below the
    # near corner can be seen.
    far = np.zeros(2)
    top = np.array([far, right, right + back, back])
    faces = [
        (top, np.array([0.0, -math.cos(lift), math.sin(lift)])),
        (
            np.array([top[3], top[2], top[2] + down, top[3] + down]),
            np.array([-math.sin(yaw), 0.3 * math.sin(lift), math.cos(yaw)]),
        ),
        (
            np.array([top[2], top[1], top[1] + down, top[2] + down]),
            np.array([math.cos(yaw), 0.3 * math.sin(lift), math.sin(yaw)]),
        ),
    ]
    corners = np.concatenate([quad for quad, _ in faces])
    low, high = corners.min(axis=0), corners.max(axis=0)
    factor = 1.9 / float(np.max(high - low))
    middle = (low + high) / 2.0
    if rng.uniform() < 0.5:
        colour = hsv(rng.uniform(0.07, 0.11), rng.uniform(0.35, 0.6), rng.uniform(0.55, 0.8))
        style = int(rng.choice([0, 0, 3, 5]))
    else:
        colour = random_colour(rng, (0.2, 0.9), (0.4, 0.95))
        style = int(rng.integers(1, 6))
    accent = random_colour(rng, (0.0, 0.9), (0.3, 1.0))
    art = canvas.art()
    full = (art.shape[1], art.shape[0])
    for quad, normal in faces:
        texture = _face_texture(rng, colour, style, accent).astype(np.float32)
        normal = normal / np.linalg.norm(normal)
        diffuse = max(0.0, float(normal @ light))
        gain = 0.36 + 0.74 * diffuse
        ramp = np.linspace(1.04, 0.88, texture.shape[0], dtype=np.float32)[:, None, None]
        lit = to_bytes(texture * ramp * gain)
        points = ((quad - middle) * factor + 1.0) * canvas.side
        source = np.array([[0, 0], [95, 0], [95, 95], [0, 95]], np.float32)
        matrix = cv2.getPerspectiveTransform(source, points.astype(np.float32))
        warped = cv2.warpPerspective(lit, matrix, full, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros(full[::-1], np.uint8)
        cv2.fillConvexPoly(mask, np.round(points).astype(np.int32), 255.0)
        covered = mask > 0
        art[covered, :3] = warped[covered]
        art[covered, 3] = 255
    canvas.over_art(art)
