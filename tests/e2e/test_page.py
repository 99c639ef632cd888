"""A newcomer goes through the tabs in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from dreamgui.pictures.store import read_picture
from tests.e2e.conftest import HAS_BUNDLE, Server
from tests.e2e.opening import open_group, open_tab

LONG = 180_000
STEPS, MANY_STEPS = 24, 60
SAMPLE_EVERY = 12
START_BUTTONS = {
    "Dataset": "dataset-crop",
    "Convert": "convert-start",
    "Train": "train-start",
    "Generate": "generate-start",
    "Compare": "compare-start",
    "ControlNet": "control-start",
}
HOPPER, COFFEE = "mpl-data/sample_data/grace_hopper.jpg", "data/coffee.png"


@contextmanager
def opened(browser: Browser, server: Server) -> Iterator[Page]:
    """A freshly opened page, closed again after the block."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.set_default_timeout(90_000)
    open_page(page, server)
    yield page
    context.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with opened(browser, server) as page:
        yield page


def open_page(page: Page, server: Server) -> None:
    page.goto(server.url)
    expect(page.locator("#title")).to_be_visible()


def done(page: Page, prefix: str) -> None:
    expect(page.locator(f"#{prefix}-progress .dg-done")).to_be_visible(timeout=LONG)


def packaged(package: str, file: str) -> str:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).parent / file)


def test_the_page_asks_nobody_else(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[Request] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request))
    page.on("pageerror", lambda error: faults.append(str(error)))
    open_page(page, server)
    for name, button in START_BUTTONS.items():
        open_tab(page, name)
        expect(page.locator(f"#{button}")).to_be_visible()
    outside = [request.url for request in asked if not request.url.startswith((server.url, "data:", "blob:"))]
    assert outside == []
    assert faults == []
    context.close()


def test_dataset(page: Page) -> None:
    if HAS_BUNDLE:
        page.locator("#dataset-demo").click()
        expect(page.locator("#dataset-photos")).to_contain_text(".jpg")
    else:
        faces = [packaged("skimage", "data/astronaut.png"), packaged("matplotlib", HOPPER)]
        page.locator("#dataset-photos input[type=file]").set_input_files(
            [*faces, packaged("skimage", COFFEE)]
        )
        expect(page.locator("#dataset-photos")).to_contain_text("coffee")
        page.locator("#dataset-size-px input").fill("64")
    page.locator("#dataset-crop").click()
    done(page, "dataset")
    if not HAS_BUNDLE:
        expect(page.locator("#dataset-refused")).to_contain_text("coffee.png")
    page.locator("#dataset-gallery button.thumbnail-item").first.click()
    expect(page.locator("#dataset-caption").locator("input, textarea")).to_have_value(
        "a photo of sks woman face"
    )
    page.locator("#dataset-drop").click()
    expect(page.locator("#dataset-gallery")).to_contain_text("dropped")
    page.get_by_text("Restore crop").click()
    expect(page.locator("#dataset-gallery")).not_to_contain_text("dropped")


@pytest.mark.skipif(not HAS_BUNDLE, reason="the bundled demo model isn't in assets/demo")
def test_convert(page: Page) -> None:
    open_tab(page, "Convert")
    page.locator("#convert-start").click()
    done(page, "convert")
    expect(page.locator("#convert-result")).to_contain_text("portraits")


def test_a_number_out_of_range_is_refused_in_its_field(page: Page) -> None:
    open_tab(page, "Train")
    prefilled(page)
    page.locator("#train-steps input").fill("1000000")
    page.locator("#train-start").click()
    expect(page.locator("#train-faults")).to_contain_text("Training steps At most 20000.")
    expect(page.locator("#train-progress .dg-idle")).to_be_visible()


def test_an_empty_number_and_a_0_are_two(page: Page) -> None:
    """A number that may be open begins empty, wherever it lies; an emptied one that is needed is told."""
    open_tab(page, "Train")
    prefilled(page)
    for group, name in (("text-encoder", "text-learning-rate"), ("lora", "alpha")):
        inside = open_group(page, f"train-group-{group}").locator(f"#train-{name} input").first
        expect(inside).to_have_value("")
    page.locator("#train-learning-rate input").fill("0")
    page.locator("#train-steps input").fill("")
    page.locator("#train-start").click()
    faults = page.locator("#train-faults")
    expect(faults).to_contain_text("Learning rate More than 0.")
    expect(faults).to_contain_text("Training steps Empty: type a number.")
    page.locator("#train-learning-rate input").fill("")
    expect(faults).not_to_contain_text("More than 0.")
    expect(faults).to_contain_text("Empty: type a number.")
    expect(page.locator("#train-progress .dg-idle")).to_be_visible()


def test_what_was_typed_stays_also_when_another_method_is_chosen(page: Page) -> None:
    open_tab(page, "Train")
    prefilled(page)
    steps = page.locator("#train-steps input")
    steps.fill("77")
    open_tab(page, "Compare")
    expect(page.locator("#compare-start")).to_be_visible()
    open_tab(page, "Train")
    expect(steps).to_have_value("77")
    page.locator("#train-method").get_by_role("radio", name="Whole UNet").check()
    expect(page.locator("#train-changed")).to_contain_text("Training steps 77")
    expect(steps).to_have_value("77")


def test_train_with_the_page_closed_and_opened_again(browser: Browser, server: Server) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    first = context.new_page()
    open_page(first, server)
    open_tab(first, "Train")
    prefilled(first)
    first.locator("#train-steps input").fill(str(STEPS))
    open_group(first, "train-group-batch").locator("#train-batch-size input").first.fill("1")
    open_group(first, "train-group-run").locator("#train-run").locator("input, textarea").fill("anna")
    classes = open_group(first, "train-group-class-images")
    classes.locator("#train-class-count input").first.fill("2")
    expect(classes).to_contain_text("Class images · 1 changed")
    samples = open_group(first, "train-group-samples-and-checkpoints")
    samples.locator("#train-sample-every input").fill(str(SAMPLE_EVERY))
    first.locator("#train-start").click()
    expect(first.locator("#train-progress .dg-running")).to_be_visible(timeout=LONG)
    expect(first.locator("#train-loss")).to_be_visible(timeout=LONG)
    first.close()

    second = context.new_page()
    open_page(second, server)
    open_tab(second, "Train")
    expect(second.locator("#train-progress .dg-running, #train-progress .dg-done")).to_be_visible()
    done(second, "train")
    expect(second.locator("#train-samples button.thumbnail-item")).to_have_count(
        2 * (STEPS // SAMPLE_EVERY + 1)
    )
    expect(second.locator("#train-result")).to_contain_text("anna")
    assert [step for step, _ in losses_in_the_log(server)] == list(range(1, STEPS + 1))
    curve_has(second, 2 * STEPS)
    context.close()


def test_a_trained_run_is_taken_home_and_taken_on(page: Page) -> None:
    """The file for other programs is made by one press; the other buttons open their tabs with the run chosen."""
    open_tab(page, "Train")
    page.locator("#train-export").click()
    expect(page.locator("#train-file")).to_be_visible(timeout=LONG)
    with page.expect_download() as download:
        page.locator("#train-file").click()
    assert download.value.suggested_filename.endswith(".safetensors")
    run = download.value.suggested_filename.removesuffix(".safetensors").removesuffix("-lora-kohya")
    page.locator("#train-to-compare").click()
    expect(page.locator("#compare-start")).to_be_visible()
    expect(page.locator("#compare-models input:checked")).to_have_count(2)
    expect(page.locator("#compare-models label", has_text=run).locator("input")).to_be_checked()
    open_tab(page, "Train")
    page.locator("#train-to-generate").click()
    expect(page.locator("#generate-model input")).to_have_value(run)


def test_a_stopped_training_goes_on(page: Page, server: Server) -> None:
    """Stop, then one press on Resume: the run is the same one, and its curve goes on."""
    open_tab(page, "Train")
    prefilled(page)
    page.locator("#train-steps input").fill(str(MANY_STEPS))
    open_group(page, "train-group-batch").locator("#train-batch-size input").first.fill("1")
    open_group(page, "train-group-run").locator("#train-run").locator("input, textarea").fill("berta")
    open_group(page, "train-group-class-images").locator("#train-class-count input").first.fill("2")
    samples = open_group(page, "train-group-samples-and-checkpoints")
    samples.locator("#train-sample-every input").fill("0")
    page.locator("#train-start").click()
    expect(page.locator("#train-progress .dg-running")).to_contain_text("Training: ", timeout=LONG)
    page.locator("#train-stop").click()
    expect(page.locator("#train-progress .dg-cancelled")).to_be_visible(timeout=LONG)
    made = losses_in_the_log(server)
    assert 0 < len(made) < MANY_STEPS

    expect(page.locator("#train-resume-run input")).to_have_value("berta")
    expect(page.locator("#train-resume-step input")).to_have_value(str(len(made)))
    page.locator("#train-resume-start").click()
    done(page, "train")
    losses = losses_in_the_log(server)
    assert [step for step, _ in losses] == list(range(1, MANY_STEPS + 1))
    assert losses[: len(made)] == made
    curve_has(page, 2 * MANY_STEPS)
    card = json.loads((server.home / "runs" / "berta" / "run.json").read_bytes())
    assert card["finished"] and card["steps"] == MANY_STEPS


def test_one_step_is_tried_before(page: Page) -> None:
    open_tab(page, "Train")
    prefilled(page)
    memory = open_group(page, "train-group-memory-and-speed")
    memory.locator("#train-memory-tier").get_by_role("radio", name="least").click()
    expect(page.locator("#train-memory")).to_contain_text("tier least")
    open_group(page, "preflight-section")
    page.locator("#preflight-start").click()
    done(page, "preflight")
    expect(page.locator("#preflight-progress")).to_contain_text("tier least")
    expect(page.locator("#preflight-progress")).to_contain_text("It fits.")


def test_a_sweep(page: Page) -> None:
    open_tab(page, "Train")
    prefilled(page)
    page.locator("#train-steps input").fill("12")
    open_group(page, "train-group-batch").locator("#train-batch-size input").first.fill("1")
    open_group(page, "train-group-class-images").locator("#train-class-count input").first.fill("2")
    samples = open_group(page, "train-group-samples-and-checkpoints")
    samples.locator("#train-sample-every input").fill("0")
    open_group(page, "sweep-section")
    page.locator("#sweep-ranks").locator("input, textarea").fill("2")
    page.locator("#sweep-learning-rates").locator("input, textarea").fill("1e-3")
    page.locator("#sweep-with-unet input").check()
    open_group(page, "sweep-group-prompts").locator("#sweep-prompts textarea").fill(
        "a photo of sks woman face"
    )
    page.locator("#sweep-start").click()
    done(page, "sweep")
    expect(page.locator("#sweep-table tbody tr").filter(has_text="done")).to_have_count(2)


def test_compare(page: Page) -> None:
    open_tab(page, "Compare")
    choose_both(page, "compare-models")
    page.locator("#compare-prompts textarea").fill(
        "a photo of sks woman face in the forest\nwith <script>${1}"
    )
    open_group(page, "compare-group-sampling").locator("#compare-steps input[type=number]").fill("3")
    page.locator("#compare-start").click()
    done(page, "compare")
    expect(page.locator("#compare-grid img")).to_have_count(4)
    for image in page.locator("#compare-grid img").all():
        assert image.evaluate("image => image.complete && image.naturalWidth > 0")
    expect(page.locator("#compare-grid thead")).to_contain_text("with <script>${1}")
    expect(page.locator("#compare-slider img").first).to_be_visible()
    with page.expect_download() as download:
        page.locator("#compare-download").click()
    assert download.value.suggested_filename.endswith(".zip")


def test_control(page: Page) -> None:
    open_tab(page, "ControlNet")
    page.locator("#control-image input[type=file]").set_input_files(packaged("skimage", "data/astronaut.png"))
    expect(page.locator("#control-image img")).to_be_visible()
    choose_both(page, "control-models")
    open_group(page, "control-group-sampling").locator("#control-steps input[type=number]").fill("3")
    expect(page.locator("#control-map img")).to_be_visible()
    page.locator("#control-start").click()
    done(page, "control")
    expect(page.locator("#control-gallery button.thumbnail-item")).to_have_count(3)
    expect(page.locator("#control-gallery")).to_contain_text("canny map")


def test_generate(page: Page, tmp_path: Path) -> None:
    """Pictures, one's settings again, its file dropped back on the page, a deletion undone, and on to ControlNet."""
    open_tab(page, "Generate")
    # The newest model is chosen once the page knows it.
    expect(page.locator("#generate-model input")).not_to_have_value("")
    page.locator("#generate-prompt textarea").fill("a photo of {token}, <b>smiling</b>")
    open_group(page, "generate-group-sampling").locator("#generate-steps input[type=number]").fill("3")
    page.locator("#generate-seed input").fill("7")
    page.locator("#generate-count input[type=number]").fill("2")
    page.locator("#generate-start").click()
    done(page, "generate")
    thumbnails = page.locator("#results-gallery button.thumbnail-item")
    expect(thumbnails).to_have_count(2)
    thumbnails.nth(1).click()
    expect(page.locator("#results-details")).to_contain_text("<b>smiling</b>")
    expect(page.locator("#results-details")).to_contain_text("Seed: 8")
    expect(page.locator("#results-download a, #results-download")).not_to_have_count(0)
    with page.expect_download() as download:
        page.locator("#results-download").click()
    download.value.save_as(tmp_path / "picture.png")
    assert read_picture(tmp_path / "picture.png").made.seed == 8
    page.locator("#results-use").click()
    expect(page.locator("#generate-seed input")).to_have_value("8")
    page.locator("#generate-seed input").fill("1")
    open_group(page, "generate-from-file").locator("input[type=file]").set_input_files(
        tmp_path / "picture.png"
    )
    expect(page.locator("#generate-seed input")).to_have_value("8")
    expect(page.locator("#generate-steps input[type=number]")).to_have_value("3")
    page.locator("#results-delete").click()
    expect(page.locator("#results-undo")).to_be_visible()
    page.locator("#results-undo").click()
    open_group(page, "kept")
    kept = page.locator("#kept-gallery button.thumbnail-item")
    expect(kept).to_have_count(2)
    page.locator("#kept-words").get_by_role("textbox").fill("nothing like it")
    expect(kept).to_have_count(0)
    page.locator("#kept-words").get_by_role("textbox").fill("smiling photo")
    expect(kept).to_have_count(2)
    kept.first.click()
    page.locator("#kept-control").click()
    expect(page.locator("#control-image img")).to_be_visible()


def test_a_picture_that_cannot_be_read_is_refused_in_a_sentence(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(packaged("skimage", "data/astronaut.png")).read_bytes()[:20_000])
    open_tab(page, "ControlNet")
    page.locator("#control-image input[type=file]").set_input_files(broken)
    expect(page.locator(".toast-body").first).to_contain_text("broken.png")
    page.locator("#control-start").click()
    expect(page.locator("#control-progress .dg-failed")).to_contain_text("broken.png")


def choose_both(page: Page, group: str) -> None:
    """Tick the base and the one training."""
    for name in ("portraits", "anna"):
        page.locator(f"#{group}").get_by_label(name, exact=True).check()


def prefilled(page: Page) -> None:
    """Wait until the form has taken over what the model's card recommends."""
    expect(page.locator("#train-model input")).to_have_value("portraits")


def losses_in_the_log(server: Server) -> list[tuple[int, float]]:
    """Steps and losses that the newest training wrote down."""
    *_, log = sorted(server.home.glob("jobs/*-train-*/events.jsonl"))
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [(event["step"], event["instance"]) for event in events if event["event"] == "Loss"]


def curve_has(page: Page, points: int) -> None:
    """Wait until the two drawn lines have so many points."""
    expect(page.locator("#train-loss .mark-line path")).to_have_count(2)
    page.wait_for_function(
        """points => [...document.querySelectorAll("#train-loss .mark-line path")]
          .reduce((sum, path) => sum + path.getAttribute("d").match(/[LCM]/g).length, 0) === points""",
        arg=points,
        timeout=LONG,
    )
