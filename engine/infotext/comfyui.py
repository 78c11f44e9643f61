"""ComfyUI: the graph of nodes that drew the picture, followed back from the picture to what it was made of.

The chunk `prompt` holds the graph as it ran: `{id: {"class_type": …, "inputs": {name: value | [id, output]}}}`. Where
only `workflow` is there, the graph of the editor, the values of the usual nodes are known by their places. Every walk
visits a node once, so cycles end it and do nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..errors import MetadataUnreadable
from .facts import Facts, Lora, decimal, items, read_object, shown, text, whole
from .names import webui_sampler, webui_schedule

Node = dict[str, Any]
_MAX_NODES = 5000
_VALUE_KEYS = ("value", "text", "string", "String", "int", "float", "seed", "noise_seed", "number", "prompt", "Text")
_TEXT_KEYS = ("text", "text_g", "text_l", "populated_text", "prompt", "string", "value")
_PASSES = (
    "samples",
    "latent_image",
    "latent",
    "images",
    "image",
    "pixels",
    "samples_to",
    "upscaled",
    "LATENT",
    "IMAGE",
)
_WIDGETS = {
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": ("", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"),
    "CLIPTextEncode": ("text",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "VAELoader": ("vae_name",),
    "LatentUpscale": ("upscale_method", "width", "height"),
    "LatentUpscaleBy": ("upscale_method", "scale_by"),
}
"""The values of a node of the editor's graph, by their places; "" is one that does not matter here."""


def read_comfyui(texts: dict[str, str]) -> Facts | None:
    """The facts of the texts `prompt` or `workflow`; None where neither is a graph that samples."""
    nodes = _nodes(texts)
    if not nodes:
        return None
    graph = _Graph(nodes)
    last = graph.last_sampler()
    if last is None:
        return None
    facts = Facts(source="ComfyUI", noise="CPU", fields={})
    first = graph.earlier_sampler(last)
    base = last if first is None else first
    _sampling(graph, base, facts)
    _prompts(graph, base, facts)
    _models(graph, base, facts)
    _start(graph, base, facts)
    if first is not None:
        _second_pass(graph, first, last, facts)
    if any(sign in facts.prompt + facts.negative for sign in "(["):
        facts.notes.append("ComfyUI weighs words in a way of its own, so the picture comes out alike, not the same.")
    facts.fields = shown(graph.plain(base))
    return facts


class _Graph:
    def __init__(self, nodes: dict[str, Node]) -> None:
        self.nodes = nodes

    def kind(self, id_: str) -> str:
        return text(self.nodes[id_].get("class_type"))

    def inputs(self, id_: str) -> dict[str, Any]:
        inputs = self.nodes[id_].get("inputs")
        return inputs if isinstance(inputs, dict) else {}

    def plain(self, id_: str) -> dict[str, Any]:
        """The inputs that come from no other node."""
        return {name: value for name, value in self.inputs(id_).items() if self.link(value) is None}

    def link(self, value: object) -> str | None:
        """The node that an input comes from, if it does."""
        linked = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int)
        return str(value[0]) if linked and str(value[0]) in self.nodes else None  # type: ignore[index]

    def value(self, id_: str, *names: str) -> object:
        """The first of the inputs that is there; one that comes from another node is looked up in that one."""
        inputs = self.inputs(id_)
        for name in names:
            if name in inputs:
                seen: set[str] = set()
                value = inputs[name]
                while (source := self.link(value)) is not None and source not in seen:
                    seen.add(source)
                    inner = self.inputs(source)
                    value = next((inner[key] for key in (name, *_VALUE_KEYS) if key in inner), None)
                if not isinstance(value, list) and value is not None:
                    return value["content"] if isinstance(value, dict) and "content" in value else value
        return None

    def up(self, *starts: object, only: Callable[[str, str], bool] = lambda kind, name: True) -> Iterator[str]:
        """The nodes behind the links, nearest first, each once. `only(kind, input)` says which inputs to follow."""
        todo = [id_ for start in starts if (id_ := self.link(start)) is not None]
        seen = set(todo)
        for id_ in todo:  # it grows while we go
            yield id_
            for name, value in self.inputs(id_).items():
                source = self.link(value)
                if source is not None and source not in seen and only(self.kind(id_), name):
                    seen.add(source)
                    todo.append(source)

    def is_sampler(self, id_: str) -> bool:
        inputs = self.inputs(id_)
        return {"sampler_name", "steps", "cfg"} <= inputs.keys() or {"sampler", "sigmas"} <= inputs.keys()

    def last_sampler(self) -> str | None:
        """The sampler nearest to a saved picture, or simply the last one."""
        samplers = [id_ for id_ in self.nodes if self.is_sampler(id_)]
        ends = [id_ for id_ in self.nodes if "save" in self.kind(id_).casefold()]
        ends += [id_ for id_ in self.nodes if "preview" in self.kind(id_).casefold()]
        for end in ends:
            for id_ in self.up(*self.inputs(end).values()):
                if self.is_sampler(id_):
                    return id_
        return samplers[-1] if samplers else None

    def earlier_sampler(self, id_: str) -> str | None:
        """The sampler whose picture this one changes: the first pass of a hires fix."""
        start = self.inputs(id_).get("latent_image")
        return next(
            (node for node in self.up(start, only=lambda _, name: name in _PASSES) if self.is_sampler(node)), None
        )


def _nodes(texts: dict[str, str]) -> dict[str, Node]:
    """The nodes by id, of the graph that ran or else of the editor's."""
    if "prompt" in texts and texts["prompt"].lstrip().startswith("{"):
        graph = read_object(texts["prompt"], "ComfyUI graph")
        nodes = {str(id_): node for id_, node in graph.items() if isinstance(node, dict) and "class_type" in node}
    elif "workflow" in texts:
        nodes = _of_editor(read_object(texts["workflow"], "ComfyUI workflow"))
    else:
        return {}
    if len(nodes) > _MAX_NODES:
        raise MetadataUnreadable(f"The ComfyUI graph in this picture has {len(nodes)} nodes; {_MAX_NODES} is the most.")
    return nodes


def _of_editor(workflow: dict[str, Any]) -> dict[str, Node]:
    """The editor's graph in the form of the one that runs."""
    links = {
        link[0]: [str(link[1]), link[2]]
        for link in items(workflow.get("links"))
        if isinstance(link, list) and len(link) > 4 and isinstance(link[0], int)
    }
    nodes = {}
    for node in items(workflow.get("nodes")):
        if not isinstance(node, dict) or not isinstance(node.get("type"), str) or node.get("mode") in (2, 4):
            continue  # muted and bypassed nodes did not run
        values = node.get("widgets_values")
        inputs: dict[str, Any] = dict(values) if isinstance(values, dict) else {}
        if isinstance(values, list):
            inputs |= {name: value for name, value in zip(_WIDGETS.get(node["type"], ()), values, strict=False) if name}
        for socket in items(node.get("inputs")):
            if isinstance(socket, dict) and isinstance(socket.get("link"), int) and socket["link"] in links:
                inputs[text(socket.get("name"))] = links[socket["link"]]
        nodes[str(node.get("id"))] = {"class_type": node["type"], "inputs": inputs}
    return nodes


def _sampling(graph: _Graph, id_: str, facts: Facts) -> None:
    """Also of the sampler in parts: noise, guider, sampler and sigmas are nodes of their own there."""
    inputs = graph.inputs(id_)
    parts = {name: graph.link(inputs.get(name)) or id_ for name in ("noise", "guider", "sampler", "sigmas")}
    facts.seed = whole(graph.value(parts["noise"], "noise_seed", "seed"))
    facts.cfg = decimal(graph.value(parts["guider"], "cfg"))
    facts.steps = whole(graph.value(parts["sigmas"], "steps"))
    facts.sampler, karras = webui_sampler(text(graph.value(parts["sampler"], "sampler_name")))
    facts.schedule = karras or webui_schedule(text(graph.value(parts["sigmas"], "scheduler")))


def _prompts(graph: _Graph, id_: str, facts: Facts) -> None:
    guider = graph.link(graph.inputs(id_).get("guider")) or id_
    inputs = graph.inputs(guider)
    facts.prompt = _words(graph, inputs.get("positive", inputs.get("conditioning")), "positive", facts)
    facts.negative = _words(graph, inputs.get("negative"), "negative", facts)


def _words(graph: _Graph, start: object, side: str, facts: Facts) -> str:
    """The texts behind a conditioning, joined in the order of the nodes."""

    def only(_: str, name: str) -> bool:
        other = "negative" if side == "positive" else "positive"
        return name not in ("clip", "model", "vae", "image", "control_net", other)

    found = []
    for id_ in graph.up(start, only=only):
        if "conditioning" in graph.inputs(id_) and "controlnet" in graph.kind(id_).casefold():
            facts.notes.append("It was made with ControlNet, which is not possible here.")
        if "clip" in graph.inputs(id_) or isinstance(graph.inputs(id_).get(side), str):
            words = next((w for key in (side, *_TEXT_KEYS) if (w := text(graph.value(id_, key)).strip())), "")
            found.append(words)
    texts = list(dict.fromkeys(filter(None, found)))
    if len(texts) > 1:
        facts.notes.append(f"The {side} prompt was put together from {len(texts)} parts; here they are one text.")
    return ", ".join(texts)


def _models(graph: _Graph, id_: str, facts: Facts) -> None:
    """The adapters between the sampler and the base model, the base model, clip skip and VAE."""
    guider = graph.link(graph.inputs(id_).get("guider")) or id_
    start = graph.inputs(guider).get("model", graph.inputs(id_).get("model"))
    for node in graph.up(start, only=lambda _, name: name in ("model", "lora_stack", "optional_lora_stack", "MODEL")):
        if (name := graph.value(node, "lora_name")) not in (None, "None"):
            weight = decimal(graph.value(node, "strength_model", "lora_model_strength", "strength"))
            te_weight = decimal(graph.value(node, "strength_clip", "lora_clip_strength"))
            without = 0.0 if "clip" not in graph.inputs(node) and "strength_clip" not in graph.inputs(node) else None
            facts.loras.append(_lora(name, weight, without if te_weight is None else te_weight))
        facts.loras += [
            _lora(entry["lora"], decimal(entry.get("strength")), decimal(entry.get("strengthTwo")))
            for entry in graph.inputs(node).values()
            if isinstance(entry, dict) and entry.get("on") and isinstance(entry.get("lora"), str)  # Power Lora Loader
        ]
        if not facts.model and (model := text(graph.value(node, "ckpt_name", "unet_name", "base_ckpt_name"))):
            facts.model = _stem(model)
    facts.loras.reverse()  # from the base model on, as they were added
    encoder = graph.inputs(guider).get("positive", graph.inputs(guider).get("conditioning"))
    for node in graph.up(encoder, only=lambda _, name: name not in ("model", "negative", "image")):
        layer = whole(graph.value(node, "stop_at_clip_layer", "clip_skip"))
        if layer is not None and facts.clip_skip is None:
            facts.clip_skip = abs(layer)
    vaes = [text(graph.value(node, "vae_name")) for node in graph.nodes if "vaeloader" in graph.kind(node).casefold()]
    facts.vae = _stem(vaes[0]) if vaes else ""


def _start(graph: _Graph, id_: str, facts: Facts) -> None:
    """The size of the first latents, and whether they came from a picture."""
    for node in graph.up(graph.inputs(id_).get("latent_image"), only=lambda _, name: name in _PASSES):
        width = whole(graph.value(node, "width", "empty_latent_width"))
        height = whole(graph.value(node, "height", "empty_latent_height"))
        if width and height:
            facts.width, facts.height = width, height
            return
        if "loadimage" in graph.kind(node).casefold():
            sigmas = graph.link(graph.inputs(id_).get("sigmas")) or id_
            strength = decimal(graph.value(sigmas, "denoise"))
            facts.strength = 1.0 if strength is None else strength
            return


def _second_pass(graph: _Graph, first: str, last: str, facts: Facts) -> None:
    """What the second sampler did to the picture of the first."""
    facts.strength = decimal(graph.value(graph.link(graph.inputs(last).get("sigmas")) or last, "denoise"))
    facts.hires_steps = whole(graph.value(graph.link(graph.inputs(last).get("sigmas")) or last, "steps"))
    for node in graph.up(graph.inputs(last).get("latent_image"), only=lambda _, name: name in _PASSES):
        if node == first:
            break
        scale = decimal(graph.value(node, "scale_by", "upscale_by"))
        width = whole(graph.value(node, "width"))
        if scale is None and width and facts.width:
            scale = width / facts.width
        if scale is not None:
            facts.hires_scale = scale
            facts.hires_upscaler = "Latent" if "latent" in graph.kind(node).casefold() else ""
            return
    facts.strength = None
    facts.hires_steps = None
    facts.notes.append("Its second pass changed no size; only the first one is taken over.")


def _lora(name: object, weight: float | None, te_weight: float | None) -> Lora:
    return Lora(_stem(text(name)), 1.0 if weight is None else weight, te_weight)


def _stem(path: str) -> str:
    """The file's name without folders and ending, on any system."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[0] if name.endswith((".safetensors", ".ckpt", ".pt", ".bin", ".pth")) else name
