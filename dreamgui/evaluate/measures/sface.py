"""SFace through OpenCV, the second recogniser, from a file on this machine.

Zhong et al. 2021, https://arxiv.org/abs/2205.12010; weights of OpenCV's model zoo, Apache-2.0.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
from PIL import Image

from dreamgui.data.faces.detect import Face, detect_faces
from dreamgui.errors import BadModelFile
from dreamgui.evaluate.measures.recogniser import unit
from dreamgui.events import Event, Note
from dreamgui.models.sources.download import Remote, download
from dreamgui.workspace import Workspace

FILE = "face_recognition_sface_2021dec.onnx"
SHA256 = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"
NAME = "SFace (OpenCV zoo, December 2021)"
SOURCE = "Zhong et al. 2021, https://arxiv.org/abs/2205.12010"
ADDRESS = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_recognition_sface/{FILE}"
SIDE_PX = 112
# Eyes and nose tip of the template that ArcFace and SFace were trained on; the mouth is the middle of its two corners,
# as mediapipe gives no corners. Deng et al. 2019, https://arxiv.org/abs/1801.07698.
_TEMPLATE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (56.1396, 92.2848)])


class SFace:
    """A recogniser in an ONNX file with SFace's input: one BGR face of 112 x 112 pixels.

    Args:
        path: the file.
        wanted_sha256: hash that the file must have; None takes the user's own file as it is and names its hash.

    Raises:
        BadModelFile: the file is missing, has another hash, or gives no vector.
    """

    def __init__(self, path: Path, wanted_sha256: str | None = None) -> None:
        if not path.is_file():
            raise BadModelFile(f"There is no face recognition file {path}.", f"Download it from {ADDRESS}.")
        found = _sha256(path)
        if wanted_sha256 not in (None, found):
            raise BadModelFile(
                f"{path.name} isn't the file that was published: its SHA-256 begins with {found[:12]}, not "
                f"{wanted_sha256[:12]}.",
                f"Download it again from {ADDRESS}.",
            )
        self.name = NAME if found == SHA256 else f"ONNX file {path.name}"
        self.source = f"{SOURCE}; file {path.name}, SHA-256 {found}"
        self._lock = threading.Lock()
        try:
            self._network = cv2.FaceRecognizerSF.create(str(path), "")
            self._network.feature(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8))
        except cv2.error as error:
            raise BadModelFile(
                f"{path.name} can't be used as a face recogniser: {str(error).splitlines()[0]:.150}",
                f"Use {FILE}, or an ONNX file with one input of 1 x 3 x 112 x 112.",
            ) from error

    def embed(self, image: Image.Image) -> np.ndarray | None:
        """Return the largest face's unit vector [n] float32, or None where no face is found."""
        face = max(detect_faces(image), key=lambda found: found.size_px, default=None)
        return None if face is None else self.of_face(image, face)

    def of_face(self, image: Image.Image, face: Face) -> np.ndarray:
        """Return the unit vector [n] float32 of a face that was found.

        Args:
            image: RGB.
            face: with mediapipe's landmarks.
        """
        pixels = np.ascontiguousarray(aligned(image, face)[..., ::-1])
        with self._lock:
            return unit(self._network.feature(pixels).reshape(-1))


def fetched(workspace: Workspace) -> Generator[Event, None, None]:
    """Download the published file into the workspace, once. Its hash is checked.

    Raises:
        BadInput: the network is gone, or the server refuses.
        BadModelFile: the file isn't the published one.
        NotEnoughDisk: it doesn't fit.
    """
    path = workspace.root / "recognisers" / FILE
    if not path.is_file():
        yield Note(f"{FILE} is fetched from {ADDRESS}.")
        yield from download(
            Remote(ADDRESS, FILE, urlsplit(ADDRESS).hostname or "", None, SHA256), path, workspace
        )


def from_workspace(workspace: Workspace) -> SFace | None:
    """Return the recogniser in the workspace's ``recognisers`` folder, None where none was fetched.

    Raises:
        BadModelFile: a file lies there that isn't the published one.
    """
    path = workspace.root / "recognisers" / FILE
    return SFace(path, SHA256) if path.is_file() else None


def aligned(image: Image.Image, face: Face) -> np.ndarray:
    """Return a face turned and scaled so that eyes, nose and mouth lie as near as possible to the template's.

    Args:
        image: RGB.
        face: with mediapipe's landmarks.

    Returns:
        [112, 112, 3] uint8, RGB; black outside the picture.
    """
    matrix = _similarity(np.array(face.landmarks[:4]), _TEMPLATE)
    pixels = np.ascontiguousarray(image.convert("RGB"))
    return cv2.warpAffine(pixels, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)


def _similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift [2, 3] that brings points [n, 2] nearest to their targets, by least squares."""
    zeros, ones = np.zeros(len(points)), np.ones(len(points))
    x, y = points.T
    rows = np.concatenate([np.stack([x, -y, ones, zeros], 1), np.stack([y, x, zeros, ones], 1)])
    (a, b, right, down), *_ = np.linalg.lstsq(rows, targets.T.reshape(-1), rcond=None)
    return np.array([(a, -b, right), (b, a, down)])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
