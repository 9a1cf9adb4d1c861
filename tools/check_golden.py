"""Run filmstrip on every case of a folder of golden data for LTX, and print the errors.

    python tools/check_golden.py DIR [--only REGEX]

The folder holds `cases.json` and the files that it names: the cases' tensors (`in.*`, `rand.*`,
`out.*`) and the checkpoints, in the authors' layout. Random draws are replaced by the recorded
ones, in their order. A line is printed for each case with its largest error, relative to the
largest value of the tensor it is in, and its bound: 1e-4, or the case's own sensitivity where that
is larger. The exit status is 1 if a case failed.
"""

import argparse
import contextlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from safetensors.torch import load_file

from filmstrip.ltx.latents import (
    LatentShape,
    adain,
    denormalize,
    normalize,
    pack,
    token_positions,
    tone_map,
)
from filmstrip.ltx.layouts import read_info
from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from filmstrip.ltx.models.latent_upsampler import LTXLatentUpsamplerModel
from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
from filmstrip.ltx.models.transformer_blocks import Perturbation
from filmstrip.ltx.pipelines.conditions import ConditioningPixels
from filmstrip.ltx.pipelines.encode import encode_pixels
from filmstrip.ltx.pipelines.preprocess import prepare_picture
from filmstrip.ltx.pipelines.prompts import PromptEmbeds
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from filmstrip.ltx.pipelines.resize import resize_video
from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe
from filmstrip.ltx.schedules import RectifiedFlowSchedule
from filmstrip.ltx.video_shape import VideoShape, round_down_frames
from filmstrip.schedulers.euler_steps import euler_step_per_token

BOUND = 1e-4
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """A case: its folder, its parameters, and its tensors without the prefixes of their names."""

    folder: Path
    params: Mapping[str, Any]
    inputs: Tensors
    expected: Tensors
    draws: Mapping[str, list[torch.Tensor]]  # by source: "global" and "generator", in order

    vae: Any = None  # of the case's checkpoint
    transformer: Any = None  # likewise
    info: Any = None  # likewise, a CheckpointInfo
    upsampler: Any = None  # of a file of its own


def read_case(folder: Path, entry: Mapping[str, Any]) -> Case:
    """Read a case of `cases.json` with its tensors. Those in float16 become float32."""
    tensors = {
        key: t.float() if t.dtype == torch.float16 else t
        for key, t in load_file(folder / entry["file"]).items()
    }
    parts = {
        what: {
            k.removeprefix(f"{what}."): t for k, t in tensors.items() if k.startswith(f"{what}.")
        }
        for what in ("in", "out")
    }
    draws: dict[str, list[torch.Tensor]] = {"global": [], "generator": []}
    for draw in entry.get("random") or ():
        draws[draw["source"]].append(tensors[draw["tensor"]])
    case = Case(folder, entry["params"], parts["in"], parts["out"], draws)
    if "checkpoint" in case.params:
        file = folder / case.params["checkpoint"]
        models = {"vae": AutoencoderKLLTXVideo, "transformer": LTXVideoTransformer3DModel}
        loaded = {name: model.from_single_file(file) for name, model in models.items()}
        case = replace(case, **loaded, info=read_info(file))
    if "upsampler" in case.params:
        case = replace(
            case,
            upsampler=LTXLatentUpsamplerModel.from_single_file(folder / case.params["upsampler"]),
        )
    return case


@contextlib.contextmanager
def recorded(case: Case) -> Iterator[None]:
    """Replace `torch.randn` and `torch.randn_like` by functions that return the recorded draws.

    Raises:
        AssertionError: a draw has another shape than the recorded one, or some are left over.
    """
    remaining = {source: list(draws) for source, draws in case.draws.items()}

    def draw(shape: Any, generator: torch.Generator | None) -> torch.Tensor:
        source = "global" if generator is None else "generator"
        if not remaining[source] or tuple(remaining[source][0].shape) != tuple(shape):
            expected = tuple(remaining[source][0].shape) if remaining[source] else "none"
            raise AssertionError(
                f"a draw of {tuple(shape)} from {source}, where {expected} is recorded"
            )
        return remaining[source].pop(0).clone()

    def randn(*size: Any, generator: torch.Generator | None = None, **_: Any) -> torch.Tensor:
        return draw(size[0] if len(size) == 1 and not isinstance(size[0], int) else size, generator)

    def randn_like(tensor: torch.Tensor, **_: Any) -> torch.Tensor:
        return draw(tensor.shape, None)

    original = (torch.randn, torch.randn_like)
    torch.randn = randn
    torch.randn_like = randn_like
    try:
        yield
    finally:
        torch.randn, torch.randn_like = original
    if any(remaining.values()):
        raise AssertionError(f"{sum(map(len, remaining.values()))} recorded draws were not made")


def statistics(vae: AutoencoderKLLTXVideo) -> tuple[Any, Any, float]:
    """The arguments of `normalize`: mean, standard deviation and scaling factor of latents."""
    return vae.latents_mean, vae.latents_std, 1.0


def transformer(case: Case) -> Tensors:
    inputs = case.inputs
    model = case.transformer
    skip = case.params.get("skip")
    results = {}
    perturbation = None
    if skip:
        rows = torch.arange(len(inputs["hidden_states"])) // skip["batch_size"] == skip["ptb_index"]
        perturbation = Perturbation(case.params["stg_mode"], tuple(skip["skip_block_list"]), rows)
        results["skip_layer_mask"] = torch.ones(model.config.num_layers, len(rows))
        results["skip_layer_mask"][list(perturbation.blocks)] = 1 - rows.float()
    prepared = model.prepare(
        inputs["encoder_hidden_states"],
        inputs.get("encoder_attention_mask"),
        video_coords=inputs["indices_grid"],
    )
    if case.params.get("rope"):
        cos, sin = (angle.repeat_interleave(2, dim=-1) for angle in prepared.rotation)
        results |= {"rope_cos": cos, "rope_sin": sin}
    timestep = inputs["timestep"] * 1000
    sample = model(
        inputs["hidden_states"], timestep=timestep, prepared=prepared, perturbation=perturbation
    ).sample
    return results | {"sample": sample}


def vae_encode(case: Case) -> Tensors:
    vae = case.vae
    pixels = case.inputs["pixels"]
    posterior = vae.encode(pixels).latent_dist
    return {
        "mode": posterior.mode(),
        "logvar": posterior.logvar[:, :1],
        "mode_normalized": normalize(posterior.mode(), *statistics(vae)),
        "sampled_normalized": encode_pixels(vae, pixels, None, vae.device),
    }


def vae_decode(case: Case) -> Tensors:
    vae = case.vae
    latents = denormalize(case.inputs["latents"], *statistics(vae))
    return {"pixels": vae.decode(latents, case.inputs.get("timestep")).sample}


def upsampler(case: Case) -> Tensors:
    model = case.upsampler
    vae = case.vae
    latents = case.inputs["latents"]
    larger = normalize(model(denormalize(latents, *statistics(vae))), *statistics(vae))
    return {
        "upsampled": model(latents),
        "upsampled_normalized_space": larger,
        "adain": adain(larger, latents),
        "adain_half": adain(larger, latents, 0.5),
    }


def scheduler_timesteps(case: Case) -> Tensors:
    results = {}
    for name, scheduler in case.params["schedulers"].items():
        sampling = (
            read_info(case.folder / scheduler).sampling
            if isinstance(scheduler, str)
            else RectifiedFlowSchedule(**scheduler)
        )
        for shape in case.params["shapes"]:
            for steps in case.params["steps"]:
                times = sampling.timesteps(steps, tokens_of(shape))
                results[f"{name}.{'x'.join(map(str, shape))}.{steps}"] = torch.from_numpy(times)
    sampling = read_info(case.folder / case.params["skip_scheduler"]).sampling
    for name, (steps, first, last) in case.params["skips"].items():
        pass_ = Pass(steps=steps, skip_initial=first, skip_final=last)
        results[f"skip.{name}"] = torch.tensor(
            pass_.schedule(sampling, tokens_of(case.params["shapes"][0]))
        )
    return results


def tokens_of(shape: list[int]) -> int:
    """The tokens of latents `(B, C, ...)`, or of `(B, N, C)`."""
    return shape[1] if len(shape) == 3 else math.prod(shape[2:])


def scheduler_step(case: Case) -> Tensors:
    params = case.params
    inputs = case.inputs
    if "scheduler_from" in params:
        sampling = read_info(case.folder / params["scheduler_from"]).sampling
    else:
        sampling = RectifiedFlowSchedule(**params["scheduler"])
    pass_ = Pass(steps=params.get("steps", 0), timesteps=params.get("timesteps"))
    schedule = torch.tensor(
        pass_.schedule(sampling, tokens_of(params["shape"]) if "shape" in params else 0)
    )
    times = inputs["timestep"].reshape(
        -1, inputs["timestep"].shape[-1] if inputs["timestep"].ndim else 1
    )
    sample = inputs["sample"]
    noise = torch.randn_like(sample.contiguous()) if params["stochastic"] else None
    stepped = euler_step_per_token(sample, inputs["model_output"], times, schedule, noise)
    return {"timesteps": schedule, "prev_sample": stepped}


def functions(case: Case) -> Tensors:
    params = case.params
    inputs = case.inputs
    vae = case.vae
    latents = inputs["latents"]
    pixels = inputs["pixels"]
    size = LatentShape(*latents.shape[2:])
    rows = len(latents)
    ratios = (vae.temporal_compression_ratio, vae.spatial_compression_ratio)
    causal = case.info.causal_positions
    results = {f"tone_map.{ratio}": tone_map(latents, ratio) for ratio in params["compressions"]}
    grids = {
        f"indices_grid.fps{fps}": token_positions(size, ratios, fps, causal)
        for fps in params["fps"]
    }
    grids["latent_coords"] = token_positions(size, (1, 1), 1.0, causal=False)
    grids["pixel_coords_causal"] = token_positions(size, ratios, 1.0, causal=True)
    grids["pixel_coords_plain"] = token_positions(size, ratios, 1.0, causal=False)
    lengths = [
        round_down_frames(min(frames, total - start), ratios[0])
        for start, frames, total in params["trim"]
    ]
    return {
        **results,
        **{name: grid.expand(rows, -1, -1) for name, grid in grids.items()},
        "tokens": pack(latents),
        "normalized": normalize(latents, *statistics(vae)),
        "unnormalized": denormalize(latents, *statistics(vae)),
        "adain": adain(latents, inputs["reference"]),
        "adain_half": adain(latents, inputs["reference"], 0.5),
        "resized": resize_video(pixels, *params["resize_to"]),
        "trimmed_lengths": torch.tensor(lengths),
    }


def preprocess(case: Case) -> Tensors:
    size = (case.params["height"], case.params["width"])
    just_crop = case.params["just_crop"]
    picture = PIL.Image.fromarray(case.inputs["image"].numpy())
    return {
        "with_crf29": prepare_picture(picture, *size, just_crop, crf=29),
        "without_crf": prepare_picture(picture, *size, just_crop, crf=0),
    }


def pipeline(case: Case) -> Tensors:
    pipe = recipe_pipeline(case)
    pipe.recipe = replace(pipe.recipe, first=make_pass(case, case.params["call"]))
    return run(case, pipe)


def multiscale(case: Case) -> Tensors:
    pipe = recipe_pipeline(case)
    first = make_pass(case, case.params["first_pass"])
    second = make_pass(case, case.params["second_pass"])
    pipe.recipe = replace(
        pipe.recipe, first=first, second=second, downscale=case.params["downscale_factor"]
    )
    pipe.latent_upsampler = case.upsampler
    intermediates: Tensors = {}

    def upsample(latents: torch.Tensor) -> torch.Tensor:
        upsampled = LTXRecipePipeline._upsample(pipe, latents)
        intermediates["first_pass_latents"] = latents
        intermediates["adain_latents"] = upsampled
        return upsampled

    def record_upsampled(module: Any, args: Any, output: torch.Tensor) -> None:
        intermediates["upsampled_latents"] = normalize(output, *statistics(pipe.vae))

    pipe._upsample = upsample  # type: ignore[method-assign]
    pipe.latent_upsampler.register_forward_hook(record_upsampled)
    return run(case, pipe) | intermediates


def recipe_pipeline(case: Case) -> LTXRecipePipeline:
    """The pipeline of a case, with the fields of its recipe that all passes share."""
    call = case.params["call"]
    pipe = LTXRecipePipeline(case.vae, None, None, case.transformer)
    pipe.set_progress_bar_config(disable=True)
    pipe.info = case.info
    sampler = case.params.get("sampler") or "from_checkpoint"
    if sampler != "from_checkpoint":
        uniform = sampler.lower() == "uniform"
        pipe.info = replace(
            pipe.info, sampling=RectifiedFlowSchedule("Uniform" if uniform else "LinearQuadratic")
        )
    timestep = call.get("decode_timestep", 0.0)
    pipe.recipe = Recipe(
        stochastic=call.get("stochastic_sampling", False),
        image_noise=call.get("image_cond_noise_scale", 0.0),
        decode_timestep=timestep,
        decode_noise=call.get("decode_noise_scale", timestep),
    )
    pipe.transformer.register_forward_pre_hook(
        authors_rows(len(case.inputs["prompt_embeds"])), with_kwargs=True
    )
    return pipe


def authors_rows(videos: int) -> Callable[..., Any]:
    """A hook that perturbs the same rows as the authors' code.

    With several videos, the authors' code perturbs other rows than it intends.
    """

    def hook(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        perturbation = kwargs.get("perturbation")
        if perturbation is None:
            return args, kwargs
        num_branches = len(perturbation.rows) // videos
        rows = torch.arange(len(perturbation.rows)) % num_branches == num_branches - 1
        return args, kwargs | {"perturbation": replace(perturbation, rows=rows)}

    return hook


def make_pass(case: Case, arguments: Mapping[str, Any]) -> Pass:
    """The pass for arguments of the authors' pipeline."""
    guidance = GuidanceSchedule(
        scale=frozen(arguments.get("guidance_scale", 4.5)),
        stg_scale=frozen(arguments.get("stg_scale", 1.0)),
        rescale=frozen(arguments.get("rescaling_scale", 0.7)),
        blocks=frozen(arguments.get("skip_block_list") or []),
        timesteps=frozen(arguments.get("guidance_timesteps") or []),
        cfg_zero_star=arguments.get("cfg_star_rescale", False),
        mode=case.params.get("stg_mode", "attention_values"),
    )
    return Pass(
        guidance,
        arguments.get("num_inference_steps", 20),
        frozen(arguments.get("timesteps")),
        arguments.get("skip_initial_inference_steps", 0),
        arguments.get("skip_final_inference_steps", 0),
        arguments.get("tone_map_compression_ratio", 0.0),
    )


def frozen(value: Any) -> Any:
    """Convert a list, and lists in it, to tuples."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def run(case: Case, pipe: LTXRecipePipeline) -> Tensors:
    """Run the pipeline with the arguments of a case."""
    inputs = case.inputs
    call = case.params["call"]
    shape = VideoShape(call["height"], call["width"], call["num_frames"], call["frame_rate"])
    prompts = PromptEmbeds(
        inputs["prompt_embeds"],
        inputs["prompt_attention_mask"],
        inputs["negative_prompt_embeds"],
        inputs["negative_prompt_attention_mask"],
    )
    num_videos = len(inputs["prompt_embeds"])
    conditions = [
        ConditioningPixels(inputs[f"cond.{number}.pixels"], item["frame"], item["strength"])
        for number, item in enumerate(case.params.get("conditioning") or ())
    ]
    latents = None
    if "media_items" in inputs:
        latents = encode_pixels(pipe.vae, inputs["media_items"], None, pipe.device)
    latents = pipe.sample(
        pipe.recipe, shape, prompts, num_videos, conditions, latents, torch.Generator()
    )
    times = pipe.recipe.passes[-1].schedule(pipe.info.sampling, latents[0, 0].numel())
    results = {"latents": latents, "timesteps": torch.tensor(times)}
    if call["output_type"] != "latent":
        results["pixels"] = pipe.decode_video(latents, shape) / 2 + 0.5
    return results


# The functions that run a case, by the entry "kind" of its parameters.
RUNNERS: Mapping[str, Callable[[Case], Tensors]] = {
    runner.__name__: runner
    for runner in (
        *(transformer, vae_encode, vae_decode, upsampler, scheduler_timesteps, scheduler_step),
        *(functions, preprocess, pipeline, multiscale),
    )
}


def check(folder: Path, entry: Mapping[str, Any]) -> tuple[bool, str]:
    """Run a case and compare its results.

    Returns:
        Whether it passes, and a message.
    """
    kind = entry["params"].get("kind")
    if kind not in RUNNERS:
        return False, f"the kind {kind!r} is not known"
    try:
        case = read_case(folder, entry)
        with torch.no_grad(), recorded(case):
            results = RUNNERS[kind](case)
    except Exception as error:  # a case that cannot be run is one that fails
        return False, f"{type(error).__name__}: {error}"
    bound = max(BOUND, entry.get("sensitivity_to_1e6_input_noise") or 0.0)
    errors = {
        name: error_of(results.get(name), expected) for name, expected in case.expected.items()
    }
    worst = max(errors, key=lambda name: errors[name])
    return errors[worst] <= bound, f"error {errors[worst]:.2e} (bound {bound:.1e}) in out.{worst}"


def error_of(result: torch.Tensor | None, expected: torch.Tensor) -> float:
    """The largest difference, relative to the largest expected value.

    It is infinite if the shape is another, or if a value is not finite.
    """
    if result is None or result.shape != expected.shape:
        return math.inf
    difference = (result.double() - expected.double()).abs().max().item()
    relative = difference / max(expected.double().abs().max().item(), 1e-12)
    return relative if math.isfinite(relative) else math.inf


def main(arguments: list[str] | None = None) -> int:
    """Check a folder, and return the exit status."""
    parser = argparse.ArgumentParser(description="Compare filmstrip with golden data for LTX.")
    parser.add_argument("folder", type=Path, help="the folder with cases.json")
    parser.add_argument(
        "--only", type=re.compile, help="a pattern that the names of cases must match somewhere"
    )
    options = parser.parse_args(arguments)
    cases = json.loads((options.folder / "cases.json").read_text())["cases"]
    passed = 0
    failed = 0
    for entry in cases:
        if options.only and not options.only.search(entry["name"]):
            continue
        has_passed, message = check(options.folder, entry)
        if has_passed:
            passed += 1
        else:
            failed += 1
        print(f"{'pass' if has_passed else 'FAIL'}  {entry['name']}: {message}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
