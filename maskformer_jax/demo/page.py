"""The page of the demo."""

from maskformer_jax.demo.uploads import Limits
from maskformer_jax.pages.html import asset, escape, json_for_script, page

_LABELS = {
    "object_mask": "Least class probability of a panoptic segment",
    "overlap": "Least share of its mask that a panoptic segment keeps",
    "score": "Least score of an instance",
}


def demo_page(title: str, *, defaults: dict[str, float], limits: Limits) -> str:
    """Make the page.

    Args:
        title: the model.
        defaults: of the thresholds, 0..1.
        limits: of uploads.
    """
    sliders = "\n".join(
        f'<label data-of="{name}">{escape(label)} '
        f'<input type="range" min="0" max="1" step="0.05" value="{defaults[name]}" '
        f'data-threshold="{name}"> <output>{defaults[name]:g}</output></label>'
        for name, label in _LABELS.items()
    )
    body = f"""
<h1>{escape(title)}</h1>
<p class="drop" id="drop">Drop an image here, or
<label class="button">choose one<input type="file" id="file" accept="image/*"></label>
<label class="button">take a photograph<input type="file" id="camera" accept="image/*"
capture="environment"></label></p>
<p class="note">At most {limits.megabytes:g} MB and {limits.megapixels:g} megapixels; sides are
shrunk to {limits.side} pixels. Images stay on the machine that serves this page and are not written
to its disk.</p>
<p id="status" role="status"></p>
<div id="result" hidden>
<div id="views" class="row"></div>
<div id="sliders">{sliders}</div>
<div id="viewer"></div>
<p class="row"><button type="button" id="save-png">Download PNG</button>
<button type="button" id="save-json">Download JSON</button></p>
</div>"""
    settings = f"const DEFAULTS = {json_for_script(defaults)};"
    return page(title, [body], scripts=[asset("segments.js"), settings, asset("demo.js")])
