"""Files and texts as each tool writes them, with what must be read from them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from engine.infotext.names import webui_schedule
from engine.types import AdapterUse, Hires, Request

from . import files

NORMAL = webui_schedule("normal")  # what ComfyUI's schedule of that name is called here


@dataclass(frozen=True)
class Sample:
    """`notes` are beginnings of the notes, all of them, in order."""

    name: str
    source: str
    request: Request
    data: bytes = b""
    text: str = ""
    notes: tuple[str, ...] = ()
    hashes: dict[str, str] = field(default_factory=dict)


WEBUI = (
    "a red flower, (sky:1.2) <lora:ink:0.5>\nNegative prompt: fog, (blurry:1.3)\n"
    "Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1234567890, Size: 512x768, "
    "Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, VAE hash: 735e4c3a44, VAE: vae-ft-mse-840000.safetensors, "
    'Clip skip: 2, RNG: CPU, Lora hashes: "ink: 0123456789ab", TI hashes: "easynegative: c74b4e810b03", '
    "Version: v1.10.1"
)
WEBUI_REQUEST = Request(
    prompt="a red flower, (sky:1.2)",
    negative="fog, (blurry:1.3)",
    adapters=(AdapterUse("ink", 0.5),),
    steps=25,
    sampler="DPM++ 2M Karras",
    cfg=7.0,
    seed=1234567890,
    width=512,
    height=768,
    model="v1-5-pruned-emaonly",
    vae="vae-ft-mse-840000.safetensors",
    clip_skip=2,
)
WEBUI_HASHES = {"ink": "0123456789ab", "easynegative": "c74b4e810b03"}

COMFY: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 156680208700286,
            "steps": 20,
            "cfg": 8,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["11", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15\\v1-5-pruned-emaonly.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 640, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": 'a glass bottle, "galaxy"', "clip": ["10", 0]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, watermark", "clip": ["10", 0]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    "10": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["11", 1]}},
    "11": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "styles/neon.safetensors",
            "strength_model": 0.6,
            "strength_clip": 0.8,
            "model": ["12", 0],
            "clip": ["12", 1],
        },
    },
    "12": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "ink.safetensors",
            "strength_model": 0.5,
            "strength_clip": 0.5,
            "model": ["4", 0],
            "clip": ["4", 1],
        },
    },
}
COMFY_REQUEST = Request(
    prompt='a glass bottle, "galaxy"',
    negative="text, watermark",
    adapters=(AdapterUse("ink", 0.5), AdapterUse("neon", 0.6, 0.8)),
    model="v1-5-pruned-emaonly",
    clip_skip=2,
    steps=20,
    cfg=8.0,
    sampler="Euler",
    schedule=NORMAL,
    seed=156680208700286 % 2**32,
    width=512,
    height=640,
)
COMFY_HIRES = COMFY | {
    "20": {
        "class_type": "LatentUpscaleBy",
        "inputs": {"upscale_method": "nearest-exact", "scale_by": 1.5, "samples": ["3", 0]},
    },
    "21": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5,
            "steps": 14,
            "cfg": 8,
            "sampler_name": "dpmpp_2m",
            "scheduler": "simple",
            "denoise": 0.5,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["20", 0],
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["21", 0], "vae": ["4", 2]}},
}
COMFY_PARTS: dict[str, Any] = {  # the sampler in parts, and texts and seeds from nodes of their own
    "1": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {
            "noise": ["2", 0],
            "guider": ["3", 0],
            "sampler": ["4", 0],
            "sigmas": ["5", 0],
            "latent_image": ["6", 0],
        },
    },
    "2": {"class_type": "RandomNoise", "inputs": {"noise_seed": ["12", 0]}},
    "3": {
        "class_type": "CFGGuider",
        "inputs": {"cfg": 5.5, "model": ["7", 0], "positive": ["8", 0], "negative": ["9", 0]},
    },
    "4": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "dpmpp_2m"}},
    "5": {
        "class_type": "BasicScheduler",
        "inputs": {"scheduler": "karras", "steps": 30, "denoise": 1.0, "model": ["7", 0]},
    },
    "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1}},
    "7": {
        "class_type": "Power Lora Loader (rgthree)",
        "inputs": {
            "lora_1": {"on": True, "lora": "ink.safetensors", "strength": 0.7},
            "lora_2": {"on": False, "lora": "off.safetensors", "strength": 1},
            "model": ["10", 0],
            "clip": ["10", 1],
        },
    },
    "8": {"class_type": "CLIPTextEncodeSDXL", "inputs": {"text_g": ["11", 0], "text_l": ["11", 0], "clip": ["7", 1]}},
    "9": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["7", 1]}},
    "10": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
    "11": {"class_type": "PrimitiveString", "inputs": {"value": "a lighthouse"}},
    "12": {"class_type": "PrimitiveInt", "inputs": {"value": 42}},
    "13": {"class_type": "VAEDecode", "inputs": {"samples": ["1", 0], "vae": ["10", 2]}},
    "14": {"class_type": "PreviewImage", "inputs": {"images": ["13", 0]}},
}
COMFY_EFFICIENT: dict[str, Any] = {  # the "efficiency" nodes: nearly all in two of them
    "1": {
        "class_type": "Efficient Loader",
        "inputs": {
            "ckpt_name": "dream.safetensors",
            "vae_name": "Baked VAE",
            "clip_skip": -2,
            "lora_name": "ink.safetensors",
            "lora_model_strength": 0.5,
            "lora_clip_strength": 0.25,
            "positive": "a hill",
            "negative": "rain",
            "empty_latent_width": 512,
            "empty_latent_height": 768,
        },
    },
    "2": {
        "class_type": "KSampler (Efficient)",
        "inputs": {
            "seed": 5,
            "steps": 12,
            "cfg": 7,
            "sampler_name": "uni_pc",
            "scheduler": "karras",
            "denoise": 1,
            "model": ["1", 0],
            "positive": ["1", 1],
            "negative": ["1", 2],
            "latent_image": ["1", 3],
        },
    },
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 5]}},
}
WORKFLOW: dict[str, Any] = {
    "nodes": [
        {"id": 1, "type": "CheckpointLoaderSimple", "widgets_values": ["dream.safetensors"], "inputs": []},
        {"id": 2, "type": "CLIPTextEncode", "widgets_values": ["a hill"], "inputs": [{"name": "clip", "link": 1}]},
        {"id": 3, "type": "CLIPTextEncode", "widgets_values": ["rain"], "inputs": [{"name": "clip", "link": 2}]},
        {"id": 4, "type": "EmptyLatentImage", "widgets_values": [512, 512, 1], "inputs": []},
        {
            "id": 5,
            "type": "KSampler",
            "widgets_values": [77, "randomize", 22, 6.5, "heun", "karras", 1],
            "inputs": [
                {"name": "model", "link": 3},
                {"name": "positive", "link": 4},
                {"name": "negative", "link": 5},
                {"name": "latent_image", "link": 6},
            ],
        },
    ],
    "links": [
        [1, 1, 1, 2, 0, "CLIP"],
        [2, 1, 1, 3, 0, "CLIP"],
        [3, 1, 0, 5, 0, "MODEL"],
        [4, 2, 0, 5, 1, "CONDITIONING"],
        [5, 3, 0, 5, 2, "CONDITIONING"],
        [6, 4, 0, 5, 3, "LATENT"],
    ],
}

INVOKE = {
    "app_version": "4.2.8",
    "generation_mode": "txt2img",
    "positive_prompt": "a red barn",
    "negative_prompt": "people",
    "width": 512,
    "height": 768,
    "seed": 99,
    "rand_device": "cpu",
    "cfg_scale": 7.5,
    "cfg_rescale_multiplier": 0.2,
    "steps": 30,
    "scheduler": "euler_a",
    "clip_skip": 1,
    "model": {"key": "x", "hash": "blake3:00", "name": "dreamshaper-8", "base": "sd-1", "type": "main"},
    "loras": [
        {"model": {"key": "y", "hash": "blake3:11", "name": "ink", "base": "sd-1", "type": "lora"}, "weight": 0.75}
    ],
}
INVOKE3 = {
    "app_version": "3.0.2",
    "generation_mode": "txt2img",
    "positive_prompt": "a red barn+",
    "negative_prompt": "",
    "width": 512,
    "height": 512,
    "seed": 9,
    "rand_device": "cuda",
    "cfg_scale": 7,
    "steps": 10,
    "scheduler": "dpmpp_2m_k",
    "model": {"model_name": "stable-diffusion-v1-5", "base_model": "sd-1", "model_type": "main"},
    "loras": [{"lora": {"model_name": "ink", "base_model": "sd-1"}, "weight": 0.4}],
}
INVOKE2 = {
    "model": "stable diffusion",
    "model_weights": "stable-diffusion-1.5",
    "model_hash": "cc6cb27103",
    "app_version": "2.3.5",
    "image": {
        "type": "txt2img",
        "prompt": [{"prompt": "a boat [fog, rain]", "weight": 1.0}],
        "steps": 50,
        "cfg_scale": 7.5,
        "sampler": "k_euler",
        "seed": 321,
        "width": 512,
        "height": 448,
        "threshold": 0,
        "perlin": 0,
    },
}

FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "juggernautXL_v8Rundiffusion",
    "base_model_hash": "aeb7e9e689",
    "clip_skip": 2,
    "full_negative_prompt": ["unrealistic, saturated", "ugly"],
    "full_prompt": ["cinematic still of a fox", "a fox, sharp focus"],
    "guidance_scale": 4.0,
    "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"]],
    "metadata_scheme": "fooocus",
    "negative_prompt": "ugly",
    "performance": "Speed",
    "prompt": "a fox",
    "refiner_model": "None",
    "refiner_switch": 0.5,
    "resolution": "(1152, 896)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "7013405133184281018",
    "sharpness": 2.0,
    "steps": 30,
    "styles": "['Fooocus V2']",
    "vae": "Default (model)",
    "version": "Fooocus v2.4.1",
}
FOOOCUS_REQUEST = Request(
    prompt="cinematic still of a fox, a fox, sharp focus",
    negative="unrealistic, saturated, ugly",
    adapters=(AdapterUse("sd_xl_offset_example-lora_1.0", 0.1),),
    model="juggernautXL_v8Rundiffusion",
    clip_skip=2,
    steps=30,
    cfg=4.0,
    sampler="DPM++ 2M SDE Karras",
    seed=7013405133184281018 % 2**32,
    width=1152,
    height=896,
)
FOOOCUS_NOTE = "Fooocus sharpens"
FOOOCUS_A1111 = (
    "a fox\nNegative prompt: ugly\nSteps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 12, Size: 1152x896, CFG scale: 4, "
    'Sharpness: 2, ADM Guidance: "(1.5, 0.8, 0.3)", Model: juggernautXL, Model hash: aeb7e9e689, Performance: Speed, '
    "Scheduler: karras, VAE: Default (model), Styles: \"['Fooocus V2', 'Fooocus Enhance']\", "
    'Lora hashes: "offset: 4852686128", Lora weights: "offset: 0.1", Version: Fooocus v2.4.1, Metadata scheme: a1111'
)

SWARM = {
    "sui_image_params": {
        "prompt": "a cat <lora:light:0.3>",
        "negativeprompt": "dog",
        "model": "Official/sd_xl_base_1.0",
        "seed": 11,
        "steps": 20,
        "cfgscale": 7.0,
        "aspectratio": "1:1",
        "width": 1024,
        "height": 1024,
        "sampler": "euler",
        "scheduler": "karras",
        "loras": ["style/ink"],
        "loraweights": ["0.8"],
        "clipstopatlayer": -2,
        "variationseed": 5,
        "variationseedstrength": 0.2,
        "swarm_version": "0.9.3.1",
    },
    "sui_extra_data": {"date": "2025-01-25", "generation_time": "4.84 sec"},
    "sui_models": [{"name": "style/ink.safetensors", "param": "loras", "hash": "0xABCDEF0123456789"}],
}
SWARM_REQUEST = Request(
    prompt="a cat",
    negative="dog",
    adapters=(AdapterUse("light", 0.3), AdapterUse("ink", 0.8)),
    model="sd_xl_base_1.0",
    seed=11,
    steps=20,
    cfg=7.0,
    width=1024,
    height=1024,
    sampler="Euler",
    schedule="Karras",
    clip_skip=2,
    variation_seed=5,
    variation_strength=0.2,
)

CIVITAI = (
    "a knight in the rain\nNegative prompt: low quality\nSteps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7, "
    "Seed: 3015203040, Size: 832x1216, Clip skip: 2, Created Date: 2024-05-10T1045:22.0Z, Civitai resources: "
    '[{"type":"checkpoint","modelVersionId":128713,"modelName":"DreamShaper","modelVersionName":"8"},'
    '{"type":"lora","weight":0.8,"modelVersionId":87153,"modelName":"Add More Details, xl","modelVersionName":"v1"}], '
    "Civitai metadata: {}"
)
CIVITAI_DOWNLOAD = (
    "a knight <lora:ink:0.6>\nSteps: 25, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512, "
    "Model hash: 879db523c3, Model: dreamshaper_8, Version: v1.6.0, "
    'Hashes: {"model": "879db523c3", "lora:ink": "4852686128", "vae": "735e4c3a44"}'
)

NOVELAI = {
    "Title": "AI generated image",
    "Description": "1girl, {{smile}}",
    "Software": "NovelAI",
    "Source": "Stable Diffusion XL C1E1DE52",
    "Comment": json.dumps(
        {
            "prompt": "1girl, {{smile}}",
            "steps": 28,
            "height": 1216,
            "width": 832,
            "scale": 5.0,
            "uncond_scale": 0.0,
            "cfg_rescale": 0.1,
            "seed": 2023,
            "n_samples": 1,
            "noise_schedule": "karras",
            "sampler": "k_euler_ancestral",
            "sm": False,
            "uc": "lowres, bad",
            "request_type": "PromptGenerateRequest",
        }
    ),
}
NOVELAI_REQUEST = Request(
    prompt="1girl, {{smile}}",
    negative="lowres, bad",
    steps=28,
    width=832,
    height=1216,
    cfg=5.0,
    cfg_rescale=0.1,
    seed=2023,
    sampler="Euler a",
    schedule="Karras",
    model="Stable Diffusion XL C1E1DE52",
)
NOVELAI_NOTE = "NovelAI's models"
UNICODE = WEBUI.replace("a red flower", "一朵红花, ein Blümchen")
FROM_PICTURE = "It was made from another picture"

SAMPLES = (
    Sample("webui png", "WebUI", WEBUI_REQUEST, files.png({"parameters": WEBUI}), hashes=WEBUI_HASHES),
    Sample(
        "webui png, zTXt",
        "WebUI",
        WEBUI_REQUEST,
        files.zipped_png("parameters", WEBUI, international=False),
        hashes=WEBUI_HASHES,
    ),
    Sample(
        "webui png, compressed iTXt",
        "WebUI",
        replace(WEBUI_REQUEST, prompt="一朵红花, ein Blümchen, (sky:1.2)"),
        files.zipped_png("parameters", UNICODE, international=True),
        hashes=WEBUI_HASHES,
    ),
    Sample(
        "webui png, text behind the pixels",
        "WebUI",
        WEBUI_REQUEST,
        files.png({}, behind={"parameters": WEBUI}),
        hashes=WEBUI_HASHES,
    ),
    Sample(
        "webui jpeg",
        "WebUI",
        WEBUI_REQUEST,
        files.jpeg(files.exif_block(files.unicode_comment(WEBUI))),
        hashes=WEBUI_HASHES,
    ),
    Sample(
        "webui webp",
        "WebUI",
        WEBUI_REQUEST,
        files.webp(files.exif_block(files.unicode_comment(WEBUI))),
        hashes=WEBUI_HASHES,
    ),
    Sample(
        "webui jpeg, little-endian as exiftool leaves it",
        "WebUI",
        WEBUI_REQUEST,
        files.jpeg(files.exif_block(b"UNICODE\0" + WEBUI.encode("utf-16-le"))),
        hashes=WEBUI_HASHES,
    ),
    Sample(
        "webui jpeg, ASCII",
        "WebUI",
        WEBUI_REQUEST,
        files.jpeg(files.exif_block(b"ASCII\0\0\0" + WEBUI.encode())),
        hashes=WEBUI_HASHES,
    ),
    Sample(
        "webui stealth alpha",
        "WebUI",
        WEBUI_REQUEST,
        files.stealth(WEBUI, channels="A", zipped=False),
        hashes=WEBUI_HASHES,
    ),
    Sample(
        "webui stealth rgb, zipped",
        "WebUI",
        WEBUI_REQUEST,
        files.stealth(WEBUI, channels="RGB", zipped=True),
        hashes=WEBUI_HASHES,
    ),
    Sample(
        "webui 1.5: sampler and schedule in one name, noise of the graphics card",
        "WebUI",
        Request(
            prompt="a cat", steps=20, sampler="DPM++ 2M Karras", cfg=7.0, seed=1, width=512, height=512, noise="NV"
        ),
        text="a cat\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 512x512, Version: v1.5.1",
    ),
    Sample(
        "webui 1.5: the plain name was Uniform then",
        "WebUI",
        Request(prompt="a cat", steps=20, sampler="DPM++ 2M", schedule="Uniform", cfg=7.0, seed=1, noise="NV"),
        text="a cat\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 1, Version: v1.5.1",
    ),
    Sample(
        "webui hires fix, variation and a sampler that is not here",
        "WebUI",
        Request(
            prompt="a cat",
            steps=20,
            sampler="DPM++ 2M",
            cfg=7.0,
            seed=1,
            width=512,
            height=768,
            noise="NV",
            variation_seed=8,
            variation_strength=0.25,
            ensd=31337,
            eta=0.5,
            cfg_rescale=0.7,
            hires=Hires(2.0, 0.35, 12, "Latent"),
        ),
        text="a cat\nSteps: 20, Sampler: DPM adaptive, Schedule type: Automatic, CFG scale: 7, Seed: 1, "
        "Size: 512x768, "
        "Variation seed: 8, Variation seed strength: 0.25, Denoising strength: 0.35, ENSD: 31337, RNG: NV, "
        "Hires upscale: 2, Hires steps: 12, Hires upscaler: Latent, Eta: 0.5, CFG Rescale φ: 0.7, Version: v1.10.1",
        notes=("The sampler 'DPM adaptive' is not here: DPM++ 2M instead.",),
    ),
    Sample(
        "webui image to image with ControlNet",
        "WebUI",
        Request(prompt="a cat", steps=20, sampler="Euler a", cfg=7.0, seed=1, strength=0.45, mask_blur=8, noise="NV"),
        text="a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Denoising strength: 0.45, Mask blur: 8, "
        'ControlNet 0: "preprocessor: canny, model: x, weight: 1", Version: v1.10.1',
        notes=("It was made with ControlNet", FROM_PICTURE),
    ),
    Sample(
        "forge",
        "Forge",
        Request(
            prompt="a cat",
            steps=20,
            sampler="Euler",
            schedule="Simple",
            cfg=1.0,
            seed=3,
            width=896,
            height=1152,
            model="dream",
            noise="NV",
        ),
        files.png(
            {
                "parameters": "a cat\nSteps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG "
                "Scale: 3.5, Seed: 3, Size: 896x1152, Model hash: c161224931, Model: dream, Version: "
                "f2.0.1v1.10.1-previous-659-gc055f2d4, Module 1: ae"
            }
        ),
    ),
    Sample("comfyui", "ComfyUI", COMFY_REQUEST, files.png({"prompt": json.dumps(COMFY), "workflow": "{}"})),
    Sample(
        "comfyui, NaN in its graph",
        "ComfyUI",
        COMFY_REQUEST,
        files.png({"prompt": json.dumps(COMFY | {"99": {"class_type": "Note", "is_changed": [float("nan")]}})}),
    ),
    Sample(
        "comfyui, two passes",
        "ComfyUI",
        replace(COMFY_REQUEST, hires=Hires(1.5, 0.5, 14, "Latent")),
        files.png({"prompt": json.dumps(COMFY_HIRES)}),
    ),
    Sample(
        "comfyui, the sampler in parts",
        "ComfyUI",
        Request(
            prompt="a lighthouse",
            adapters=(AdapterUse("ink", 0.7),),
            model="sd_xl_base_1.0",
            steps=30,
            cfg=5.5,
            sampler="DPM++ 2M Karras",
            seed=42,
            width=1024,
            height=1024,
        ),
        files.png({"prompt": json.dumps(COMFY_PARTS)}),
    ),
    Sample(
        "comfyui, efficiency nodes",
        "ComfyUI",
        Request(
            prompt="a hill",
            negative="rain",
            adapters=(AdapterUse("ink", 0.5, 0.25),),
            model="dream",
            clip_skip=2,
            width=512,
            height=768,
            steps=12,
            cfg=7.0,
            sampler="UniPC",
            schedule="Karras",
            seed=5,
        ),
        files.png({"prompt": json.dumps(COMFY_EFFICIENT)}),
    ),
    Sample(
        "comfyui, only the editor's graph",
        "ComfyUI",
        Request(
            prompt="a hill",
            negative="rain",
            model="dream",
            steps=22,
            cfg=6.5,
            sampler="Heun",
            schedule="Karras",
            seed=77,
            width=512,
            height=512,
        ),
        files.png({"workflow": json.dumps(WORKFLOW)}),
    ),
    Sample(
        "comfyui webp, in tags that are meant for the camera",
        "ComfyUI",
        COMFY_REQUEST,
        files.webp(files.exif_block(b"", {0x010F: b"workflow:{}", 0x0110: b"prompt:" + json.dumps(COMFY).encode()})),
    ),
    Sample(
        "invokeai 4",
        "InvokeAI",
        Request(
            prompt="a red barn",
            negative="people",
            adapters=(AdapterUse("ink", 0.75),),
            model="dreamshaper-8",
            width=512,
            height=768,
            seed=99,
            cfg=7.5,
            cfg_rescale=0.2,
            steps=30,
            sampler="Euler a",
            clip_skip=2,
        ),
        files.png({"invokeai_metadata": json.dumps(INVOKE), "invokeai_graph": "{}"}),
    ),
    Sample(
        "invokeai 3",
        "InvokeAI",
        Request(
            prompt="a red barn+",
            adapters=(AdapterUse("ink", 0.4),),
            model="stable-diffusion-v1-5",
            noise="NV",
            width=512,
            height=512,
            seed=9,
            cfg=7.0,
            steps=10,
            sampler="DPM++ 2M Karras",
        ),
        files.png({"invokeai_metadata": json.dumps(INVOKE3)}),
        notes=("InvokeAI weighs words",),
    ),
    Sample(
        "invokeai 2",
        "InvokeAI",
        Request(
            prompt="a boat",
            negative="fog, rain",
            model="stable-diffusion-1.5",
            width=512,
            height=448,
            seed=321,
            cfg=7.5,
            steps=50,
            sampler="Euler",
        ),
        files.png({"sd-metadata": json.dumps(INVOKE2), "Dream": "ignored"}),
    ),
    Sample(
        "invokeai 1",
        "InvokeAI",
        Request(prompt="a boat", negative="fog", width=512, height=640, seed=42, cfg=7.5, steps=50, sampler="Heun"),
        files.png({"Dream": '"a boat [fog]" -s 50 -S 42 -W 512 -H 640 -C 7.5 -A k_heun'}),
    ),
    Sample(
        "fooocus",
        "Fooocus",
        FOOOCUS_REQUEST,
        files.png({"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"}),
        notes=(FOOOCUS_NOTE,),
        hashes={"sd_xl_offset_example-lora_1.0": "4852686128"},
    ),
    Sample(
        "fooocus jpeg, the comment outside of its directory",
        "Fooocus",
        FOOOCUS_REQUEST,
        files.jpeg(files.exif_block(b"", {0x9286: json.dumps(FOOOCUS).encode(), 0x927C: b"fooocus"})),
        notes=(FOOOCUS_NOTE,),
        hashes={"sd_xl_offset_example-lora_1.0": "4852686128"},
    ),
    Sample(
        "fooocus, scheme a1111",
        "Fooocus",
        Request(
            prompt="a fox",
            negative="ugly",
            adapters=(AdapterUse("offset", 0.1),),
            model="juggernautXL",
            steps=30,
            sampler="DPM++ 2M SDE Karras",
            seed=12,
            width=1152,
            height=896,
            cfg=4.0,
        ),
        files.png({"parameters": FOOOCUS_A1111, "fooocus_scheme": "a1111"}),
        hashes={"offset": "4852686128"},
    ),
    Sample(
        "swarmui",
        "SwarmUI",
        SWARM_REQUEST,
        files.png({"parameters": json.dumps(SWARM)}),
        hashes={"ink": "abcdef0123456789"},
    ),
    Sample(
        "swarmui jpeg",
        "SwarmUI",
        SWARM_REQUEST,
        files.jpeg(files.exif_block(files.unicode_comment(json.dumps(SWARM)))),
        hashes={"ink": "abcdef0123456789"},
    ),
    Sample(
        "civitai's generator",
        "Civitai",
        Request(
            prompt="a knight in the rain",
            negative="low quality",
            adapters=(AdapterUse("Add More Details, xl", 0.8),),
            model="DreamShaper",
            steps=25,
            sampler="DPM++ 2M Karras",
            cfg=7.0,
            seed=3015203040,
            width=832,
            height=1216,
            clip_skip=2,
        ),
        files.jpeg(files.exif_block(files.unicode_comment(CIVITAI))),
        notes=("Add More Details, xl is v1 on civitai.com/model-versions/87153.",),
    ),
    Sample(
        "a download from civitai",
        "WebUI",
        Request(
            prompt="a knight",
            adapters=(AdapterUse("ink", 0.6),),
            model="dreamshaper_8",
            steps=25,
            cfg=7.0,
            seed=5,
            sampler="Euler a",
            width=512,
            height=512,
            noise="NV",
        ),
        files.png({"parameters": CIVITAI_DOWNLOAD}),
        hashes={"ink": "4852686128"},
    ),
    Sample("novelai", "NovelAI", NOVELAI_REQUEST, files.png(NOVELAI), notes=(NOVELAI_NOTE,)),
    Sample(
        "novelai stealth alpha, zipped",
        "NovelAI",
        NOVELAI_REQUEST,
        files.stealth(json.dumps(NOVELAI), channels="A", zipped=True),
        notes=(NOVELAI_NOTE,),
    ),
)
