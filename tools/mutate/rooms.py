"""Which tests belong to which part of the package: the fastest that should notice a change."""

# Tests by keyword, as of `pytest -k`, that do without those that take longest.
QUICK = "not compile and not damaged and not (overlap and half)"

ROOMS: dict[str, tuple[str, ...]] = {
    "nn": (
        "tests/nn",
        "tests/ltx/models",
        "tests/svd/models",
        "tests/parity/test_ltx_transformer.py",
        "tests/parity/test_ltx_vae.py",
        "tests/parity/test_svd_unet.py",
        "tests/parity/test_svd_vae.py",
    ),
    "schedulers": (
        "tests/schedulers",
        "tests/parity/test_schedulers.py",
        "tests/parity/test_euler.py",
        "tests/parity/test_signatures.py",
    ),
    "ltx/models": (
        "tests/ltx/models",
        "tests/ltx/test_layouts.py",
        "tests/parity/test_ltx_transformer.py",
        "tests/parity/test_ltx_vae.py",
        "tests/parity/test_ltx_upsample.py",
        "tests/parity/test_signatures.py",
        "tests/tools/test_check_golden.py",
    ),
    "ltx/pipelines": (
        "tests/ltx",
        "tests/parity/test_ltx_pipeline.py",
        "tests/parity/test_ltx_image_to_video.py",
        "tests/parity/test_ltx_condition.py",
        "tests/parity/test_ltx_upsample.py",
        "tests/parity/test_signatures.py",
        "tests/tools/test_check_golden.py",
    ),
    "ltx": ("tests/ltx", "tests/presets", "tests/tools/test_check_golden.py"),
    "svd/models": (
        "tests/svd/models",
        "tests/parity/test_svd_unet.py",
        "tests/parity/test_svd_vae.py",
        "tests/parity/test_signatures.py",
    ),
    "svd": ("tests/svd", "tests/parity/test_svd_pipeline.py", "tests/parity/test_signatures.py"),
    "pipeline": ("tests/pipeline", "tests/parity/test_ltx_pipeline.py"),
    "weights": ("tests/weights", "tests/presets"),
}
