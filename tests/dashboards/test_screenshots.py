import io
import random

from PIL import Image

from dashboards.screenshots import _shrunk


def test_a_picture_fits_into_300_kilobytes():
    random.seed(1)
    noisy = Image.frombytes("RGB", (800, 500), random.randbytes(800 * 500 * 3))
    target = io.BytesIO()
    noisy.save(target, "PNG")
    assert len(target.getvalue()) > 1_000_000
    assert len(_shrunk(target.getvalue())) <= 300_000
