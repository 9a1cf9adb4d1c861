"""Run filmstrip on every case of a folder of golden data for LTX, and say how near it comes.

    python tools/check_golden.py DIR [--only REGEX]

The folder holds `cases.json` and the files that it names: the cases' tensors (`in.*`, `rand.*`,
`out.*`) and the checkpoints, in the authors' layout. Whatever is drawn is replaced by the recorded
draws, in their order. A line is printed for each case with its largest error, relative to the
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
    """A case: its parameters and tensors, without the prefixes "in." and "rand.", and the folder it
    is in.
    """

    folder: Path
    params: Mapping[str, Any]
    inputs: Tensors
    wanted: Tensors
    draws: Mapping[str, list[torch.Tensor]]  # by source: "global" and "generator", in order

    vae: Any = None  # of the case's checkpoint
    transformer: Any = None  # likewise
    info: Any = None  # likewise, a CheckpointInfo
    upsampler: Any = None  # of a file of its own


def read_case(folder: Path, entry: Mapping[str, Any]) -> Case:
    """A case of `cases.json` with its tensors; those in half precision become float32."""
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
    """Let `torch.randn` and `torch.randn_like` yield the recorded draws, and no more or fewer than
    those.
    """
    left = {source: list(draws) for source, draws in case.draws.items()}

    def draw(shape: Any, generator: torch.Generator | None) -> torch.Tensor:
        source = "global" if generator is None else "generator"
        if not left[source] or tuple(left[source][0].shape) != tuple(shape):
            expected = tuple(left[source][0].shape) if left[source] else "none"
            raise AssertionError(
                f"a draw of {tuple(shape)} from {source}, where {expected} is recorded"
            )
        return left[source].pop(0).clone()

    def randn(*size: Any, generator: torch.Generator | None = None, **_: Any) -> torch.Tensor:
        return draw(size[0] if len(size) == 1 and not isinstance(size[0], int) else size, generator)

    real = torch.randn, torch.randn_like
    torch.randn, torch.randn_like = randn, lambda like, **_: draw(like.shape, None)  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.randn, torch.randn_like = real
    if any(left.values()):
        raise AssertionError(f"{sum(map(len, left.values()))} recorded draws were not made")


def statistics(vae: AutoencoderKLLTXVideo) -> tuple[Any, Any, float]:
    return vae.latents_mean, vae.latents_std, 1.0


def transformer(case: Case) -> Tensors:
    given, model, skip = case.inputs, case.transformer, case.params.get("skip")
    found, perturbation = {}, None
    if skip:
        rows = torch.arange(len(given["hidden_states"])) // skip["batch_size"] == skip["ptb_index"]
        perturbation = Perturbation(case.params["stg_mode"], tuple(skip["skip_block_list"]), rows)
        found["skip_layer_mask"] = torch.ones(model.config.num_layers, len(rows))
        found["skip_layer_mask"][list(perturbation.blocks)] = 1 - rows.float()
    prepared = model.prepare(
        given["encoder_hidden_states"],
        given.get("encoder_attention_mask"),
        video_coords=given["indices_grid"],
    )
    if case.params.get("rope"):
        cos, sin = (angle.repeat_interleave(2, dim=-1) for angle in prepared.rotation)
        found |= {"rope_cos": cos, "rope_sin": sin}
    timestep = given["timestep"] * 1000
    sample = model(
        given["hidden_states"], timestep=timestep, prepared=prepared, perturbation=perturbation
    ).sample
    return found | {"sample": sample}


def vae_encode(case: Case) -> Tensors:
    vae, pixels = case.vae, case.inputs["pixels"]
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
    model, vae, latents = case.upsampler, case.vae, case.inputs["latents"]
    larger = normalize(model(denormalize(latents, *statistics(vae))), *statistics(vae))
    return {
        "upsampled": model(latents),
        "upsampled_normalized_space": larger,
        "adain": adain(larger, latents),
        "adain_half": adain(larger, latents, 0.5),
    }


def scheduler_timesteps(case: Case) -> Tensors:
    found = {}
    for name, made in case.params["schedulers"].items():
        sampling = (
            read_info(case.folder / made).sampling
            if isinstance(made, str)
            else RectifiedFlowSchedule(**made)
        )
        for shape in case.params["shapes"]:
            for steps in case.params["steps"]:
                times = sampling.timesteps(steps, tokens_of(shape))
                found[f"{name}.{'x'.join(map(str, shape))}.{steps}"] = torch.from_numpy(times)
    sampling = read_info(case.folder / case.params["skip_scheduler"]).sampling
    for name, (steps, first, last) in case.params["skips"].items():
        one = Pass(steps=steps, skip_initial=first, skip_final=last)
        found[f"skip.{name}"] = torch.tensor(
            one.schedule(sampling, tokens_of(case.params["shapes"][0]))
        )
    return found


def tokens_of(shape: list[int]) -> int:
    """The tokens of latents `(B, C, ...)`, or of `(B, N, C)`."""
    return shape[1] if len(shape) == 3 else math.prod(shape[2:])


def scheduler_step(case: Case) -> Tensors:
    params, given = case.params, case.inputs
    if "scheduler_from" in params:
        sampling = read_info(case.folder / params["scheduler_from"]).sampling
    else:
        sampling = RectifiedFlowSchedule(**params["scheduler"])
    one = Pass(steps=params.get("steps", 0), timesteps=params.get("timesteps"))
    schedule = torch.tensor(
        one.schedule(sampling, tokens_of(params["shape"]) if "shape" in params else 0)
    )
    times = given["timestep"].reshape(
        -1, given["timestep"].shape[-1] if given["timestep"].ndim else 1
    )
    sample = given["sample"]
    noise = torch.randn_like(sample.contiguous()) if params["stochastic"] else None
    stepped = euler_step_per_token(sample, given["model_output"], times, schedule, noise)
    return {"timesteps": schedule, "prev_sample": stepped}


def functions(case: Case) -> Tensors:
    params, given, vae = case.params, case.inputs, case.vae
    latents, pixels = given["latents"], given["pixels"]
    size, rows = LatentShape(*latents.shape[2:]), len(latents)
    ratios = (vae.temporal_compression_ratio, vae.spatial_compression_ratio)
    causal = case.info.causal_positions
    found = {f"tone_map.{share}": tone_map(latents, share) for share in params["compressions"]}
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
        **found,
        **{name: grid.expand(rows, -1, -1) for name, grid in grids.items()},
        "tokens": pack(latents),
        "normalized": normalize(latents, *statistics(vae)),
        "unnormalized": denormalize(latents, *statistics(vae)),
        "adain": adain(latents, given["reference"]),
        "adain_half": adain(latents, given["reference"], 0.5),
        "resized": resize_video(pixels, *params["resize_to"]),
        "trimmed_lengths": torch.tensor(lengths),
    }


def preprocess(case: Case) -> Tensors:
    size, just_crop = (case.params["height"], case.params["width"]), case.params["just_crop"]
    picture = PIL.Image.fromarray(case.inputs["image"].numpy())
    return {
        "with_crf29": prepare_picture(picture, *size, just_crop, crf=29),
        "without_crf": prepare_picture(picture, *size, just_crop, crf=0),
    }


def pipeline(case: Case) -> Tensors:
    pipe, call = recipe_pipeline(case), case.params["call"]
    pipe.recipe = replace(pipe.recipe, first=one_pass(case, call))
    return run(case, pipe)


def multiscale(case: Case) -> Tensors:
    pipe, passes = recipe_pipeline(case), (case.params["first_pass"], case.params["second_pass"])
    first, second = (one_pass(case, said) for said in passes)
    pipe.recipe = replace(
        pipe.recipe, first=first, second=second, downscale=case.params["downscale_factor"]
    )
    pipe.latent_upsampler = case.upsampler
    seen: Tensors = {}

    def upsample(latents: torch.Tensor) -> torch.Tensor:
        seen["first_pass_latents"], seen["adain_latents"] = (
            latents,
            LTXRecipePipeline._upsample(pipe, latents),
        )
        return seen["adain_latents"]

    def note(module: Any, args: Any, output: torch.Tensor) -> None:
        seen["upsampled_latents"] = normalize(output, *statistics(pipe.vae))

    pipe._upsample = upsample  # type: ignore[method-assign]
    pipe.latent_upsampler.register_forward_hook(note)
    return run(case, pipe) | seen


def recipe_pipeline(case: Case) -> LTXRecipePipeline:
    """The pipeline of a case, with the parts of its recipe that hold for all passes."""
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
    """Perturb the rows that the authors' code perturbs: with several videos others than it means
    to.
    """

    def hook(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        perturbation = kwargs.get("perturbation")
        if perturbation is None:
            return args, kwargs
        conditions = len(perturbation.rows) // videos
        rows = torch.arange(len(perturbation.rows)) % conditions == conditions - 1
        return args, kwargs | {"perturbation": replace(perturbation, rows=rows)}

    return hook


def one_pass(case: Case, said: Mapping[str, Any]) -> Pass:
    """A pass as the authors' arguments describe it."""
    guidance = GuidanceSchedule(
        scale=frozen(said.get("guidance_scale", 4.5)),
        stg_scale=frozen(said.get("stg_scale", 1.0)),
        rescale=frozen(said.get("rescaling_scale", 0.7)),
        blocks=frozen(said.get("skip_block_list") or []),
        timesteps=frozen(said.get("guidance_timesteps") or []),
        cfg_zero_star=said.get("cfg_star_rescale", False),
        mode=case.params.get("stg_mode", "attention_values"),
    )
    return Pass(
        guidance,
        said.get("num_inference_steps", 20),
        frozen(said.get("timesteps")),
        said.get("skip_initial_inference_steps", 0),
        said.get("skip_final_inference_steps", 0),
        said.get("tone_map_compression_ratio", 0.0),
    )


def frozen(value: Any) -> Any:
    """A list as a tuple, all the way down."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def run(case: Case, pipe: LTXRecipePipeline) -> Tensors:
    """Run a pipeline as the case asks."""
    given, call = case.inputs, case.params["call"]
    shape = VideoShape(call["height"], call["width"], call["num_frames"], call["frame_rate"])
    prompts = PromptEmbeds(
        given["prompt_embeds"],
        given["prompt_attention_mask"],
        given["negative_prompt_embeds"],
        given["negative_prompt_attention_mask"],
    )
    num_videos = len(given["prompt_embeds"])
    conditions = [
        ConditioningPixels(given[f"cond.{number}.pixels"], item["frame"], item["strength"])
        for number, item in enumerate(case.params.get("conditioning") or ())
    ]
    latents = None
    if "media_items" in given:
        latents = encode_pixels(pipe.vae, given["media_items"], None, pipe.device)
    latents = pipe.sample(
        pipe.recipe, shape, prompts, num_videos, conditions, latents, torch.Generator()
    )
    times = pipe.recipe.passes[-1].schedule(pipe.info.sampling, latents[0, 0].numel())
    found = {"latents": latents, "timesteps": torch.tensor(times)}
    if call["output_type"] != "latent":
        found["pixels"] = pipe.decode_video(latents, shape) / 2 + 0.5
    return found


KINDS: Mapping[str, Callable[[Case], Tensors]] = {
    kind.__name__: kind
    for kind in (
        *(transformer, vae_encode, vae_decode, upsampler, scheduler_timesteps, scheduler_step),
        *(functions, preprocess, pipeline, multiscale),
    )
}


def check(folder: Path, entry: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a case passes, and what there is to say of it."""
    kind = entry["params"].get("kind")
    if kind not in KINDS:
        return False, f"the kind {kind!r} is not known"
    try:
        case = read_case(folder, entry)
        with torch.no_grad(), recorded(case):
            found = KINDS[kind](case)
    except Exception as error:  # a case that cannot be run is one that fails
        return False, f"{type(error).__name__}: {error}"
    bound = max(BOUND, entry.get("sensitivity_to_1e6_input_noise") or 0.0)
    errors = {name: error_of(found.get(name), wanted) for name, wanted in case.wanted.items()}
    worst = max(errors, key=lambda name: errors[name])
    return errors[worst] <= bound, f"error {errors[worst]:.2e} (bound {bound:.1e}) in out.{worst}"


def error_of(found: torch.Tensor | None, wanted: torch.Tensor) -> float:
    """The largest difference, relative to the largest value; infinite for another shape or what is
    no number.
    """
    if found is None or found.shape != wanted.shape:
        return math.inf
    difference = (found.double() - wanted.double()).abs().max().item()
    relative = difference / max(wanted.double().abs().max().item(), 1e-12)
    return relative if math.isfinite(relative) else math.inf


def main(arguments: list[str] | None = None) -> int:
    """Check a folder; the exit status."""
    parser = argparse.ArgumentParser(description="Compare filmstrip with golden data for LTX.")
    parser.add_argument("folder", type=Path, help="holds cases.json")
    parser.add_argument(
        "--only", type=re.compile, help="a pattern that the names of cases must match somewhere"
    )
    options = parser.parse_args(arguments)
    cases = json.loads((options.folder / "cases.json").read_text())["cases"]
    passed = failed = 0
    for entry in cases:
        if options.only and not options.only.search(entry["name"]):
            continue
        fine, said = check(options.folder, entry)
        passed, failed = passed + fine, failed + (not fine)
        print(f"{'pass' if fine else 'FAIL'}  {entry['name']}: {said}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
