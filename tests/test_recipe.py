"""What a training minimises and how its weights move: the loss, the optimiser, the schedule, the averages, teachers."""
import re

import numpy as np
import pytest
from test_train import assert_same_run, data, train, weights  # noqa: F401  (data is a fixture)

from kwscli.data import batches, dataset
from kwscli.errors import KwsError
from kwscli.runs import run_directory
from kwscli.settings import TrainSettings

tf = pytest.importorskip("tensorflow.compat.v1")

from kwscli.devices.optimizer import Adam  # noqa: E402  needs TensorFlow
from kwscli.training import losses  # noqa: E402  needs TensorFlow

COSINE = ("--schedule", "cosine", "--how_many_training_steps", "30", "--learning_rate", "0.01")
# Every part of a recipe at once.
PARTS = COSINE + (
    "--warm-up-percentage", "10", "--label-smoothing", "0.1", "--weight-decay", "0.01", "--gradient-clipping", "1",
    "--weight-averaging", "0.9", "--keyword-balance", "0.5", "--normalize-features", "true",
)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def evaluated(tensor):
    with tf.Session() as session:
        return session.run(tensor)


@pytest.fixture
def batch():
    rng = np.random.RandomState(0)
    return rng.randn(7, 5), rng.randint(5, size=7), [3 * rng.randn(7, 5), 3 * rng.randn(7, 5)]


def loss_of(batch, taught=(), **values):
    logits, targets, _ = batch
    with tf.Graph().as_default():
        made = losses.loss(tf.constant(logits), tf.constant(targets), TrainSettings(**values), [
            tf.constant(one) for one in taught
        ])
        return evaluated(made)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_gives_every_label_an_equal_part_of_the_target(batch, smoothing):
    logits, targets, _ = batch
    wanted = np.full((7, 5), smoothing / 5)
    wanted[np.arange(7), targets] += 1 - smoothing
    expected = -np.mean(np.sum(wanted * np.log(softmax(logits)), axis=1))
    np.testing.assert_allclose(loss_of(batch, label_smoothing=smoothing), expected, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("share, temperature", [(0.3, 1.0), (1.0, 4.0)])
def test_a_network_learns_the_mean_scores_of_its_teachers(batch, count, share, temperature):
    logits, _, taught = batch
    scores = np.mean([softmax(one / temperature) for one in taught[:count]], axis=0)
    distance = np.sum(scores * (np.log(scores) - np.log(softmax(logits / temperature))), axis=1).mean()
    expected = (1 - share) * loss_of(batch) + share * temperature ** 2 * distance
    found = loss_of(batch, taught[:count], distillation_weight=share, distillation_temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_network_that_agrees_with_its_teacher_has_no_distance_from_it(batch):
    assert abs(loss_of(batch, [batch[0]], distillation_weight=1.0)) < 1e-6


def moved(gradients, names=("net/weights", "net/biases"), factors=(1, 1, 1), **how):
    """[value of each variable] after steps of Adam, at a rate of 0.1 and from 1. factors: of the gradients, by step."""
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [tf.get_variable(name, initializer=np.ones_like(one)) for name, one in zip(names, gradients)]
        optimizer = Adam(tf.constant(0.1, tf.float64), **how)
        factor = tf.placeholder(tf.float64, ())
        step = optimizer.apply_gradients([(factor * one, variable) for one, variable in zip(gradients, variables)])
        session.run(tf.global_variables_initializer())
        for one in factors:
            session.run(step, {factor: one})
        return session.run(variables)


GRADIENTS = [np.array([[3.0, -4.0]]), np.array([12.0])]


def test_weight_decay_is_decoupled_and_leaves_biases():
    """A step takes rate x decay of a weight away, beside what Adam does (arXiv 1711.05101, algorithm 2)."""
    plain, decayed = moved(GRADIENTS, factors=(1,)), moved(GRADIENTS, factors=(1,), weight_decay=0.2)
    np.testing.assert_allclose(decayed[0], plain[0] - 0.1 * 0.2 * 1.0, rtol=1e-12)
    np.testing.assert_array_equal(decayed[1], plain[1])


def test_long_gradients_are_made_as_short_as_the_limit():
    """Adam forgets the length of gradients that are equal in all steps, so those after the first step are short."""
    length = 13.0  # of (3, -4, 12)
    long_first = 1, 1 / length, 1 / length
    limited = moved(GRADIENTS, factors=long_first, largest_norm=2.0)
    for one, other in zip(limited, moved(GRADIENTS, factors=(2 / length,) + long_first[1:])):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert np.abs(limited[0] - moved(GRADIENTS, factors=long_first)[0]).max() > 1e-3
    unlimited = moved(GRADIENTS, largest_norm=14.0)
    for one, other in zip(unlimited, moved(GRADIENTS)):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def cosine(**values):
    return TrainSettings(**dict(
        dict(schedule="cosine", learning_rate=(0.5,), how_many_training_steps=(100,), warm_up_percentage=10.0), **values
    ))


def test_a_cosine_schedule_grows_falls_and_ends_near_zero():
    rates = np.array([cosine().rate_at(step) for step in range(1, 101)])
    np.testing.assert_allclose(rates[:10], 0.05 * np.arange(1, 11))
    np.testing.assert_allclose(rates[10:], 0.25 + 0.25 * np.cos(np.pi * np.arange(90) / 90))
    assert rates[-1] < 0.001 and rates.max() == 0.5


def test_more_steps_spread_the_warm_up_and_the_cosine():
    longer = cosine(how_many_training_steps=(1000,))
    for share in (0.05, 0.1, 0.5, 0.9):
        assert longer.rate_at(int(1000 * share)) == pytest.approx(cosine().rate_at(int(100 * share)), abs=0.01)


@pytest.mark.parametrize("values, message", [
    ({"learning_rate": (0.1, 0.2), "how_many_training_steps": (5, 5)},
     "a cosine schedule has one --learning-rate and one --how-many-training-steps: found 0.1,0.2 and 5,5; give one"),
    ({"warm_up_percentage": 100.0}, "--warm-up-percentage 100 leaves no step for the schedule after the warm-up"),
    ({"schedule": "phases"}, "--warm-up-percentage 10 has no effect on --schedule phases; leave it out"),
])
def test_schedules_that_cannot_be(values, message):
    with pytest.raises(KwsError, match=re.escape(message)):
        cosine(**values)


def test_a_single_step_has_the_whole_rate_and_no_warm_up():
    assert cosine(how_many_training_steps=(1,)).rate_at(1) == 0.5


def test_a_cosine_schedule_cannot_be_made_longer_afterwards():
    assert not cosine(how_many_training_steps=(200,)).extends(cosine())


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):  # noqa: F811
    """A run with every part of a recipe that nothing interrupted."""
    path = tmp_path_factory.mktemp("recipe") / "run"
    assert train(data, path, *PARTS).exit_code == 0
    return path


def test_a_training_that_was_stopped_ends_with_the_same_bits(data, unbroken, tmp_path, monkeypatch):  # noqa: F811
    """The averages, the schedule and the drawn clips go on where they were."""
    from kwscli.training.training_session import TrainingSession

    advance = TrainingSession.advance

    def stop_after_17(session, step, rate):
        if step == 18:
            raise KeyboardInterrupt
        return advance(session, step, rate)

    monkeypatch.setattr(TrainingSession, "advance", stop_after_17)
    assert train(data, tmp_path / "run", *PARTS).exit_code == 130
    monkeypatch.undo()
    assert train(data, tmp_path / "run", *PARTS).exit_code == 0
    assert_same_run(tmp_path / "run", unbroken)


def test_a_checkpoint_has_the_averages_under_the_names_of_the_weights(unbroken):
    found = weights(unbroken)
    name = "ds_cnn/fc1/weights"
    assert np.abs(found[name] - found[name + "/unaveraged"]).max() > 1e-4
    assert found["ds_cnn/conv_1/moving_variance"].shape == found["ds_cnn/conv_1/moving_variance/unaveraged"].shape


def test_averages_follow_the_weights_of_all_steps(data, tmp_path):  # noqa: F811
    """An independent computation from the checkpoints after each of five steps."""
    name, decay, path = "ds_cnn/fc1/weights", 0.9, tmp_path / "run"
    expected = None
    for step in range(1, 6):
        assert train(
            data, path, "--learning_rate", "0.01", "--how_many_training_steps", str(step),
            "--weight-averaging", str(decay),
        ).exit_code == 0
        saved = weights(path, step)
        kept = min(decay, (1 + step) / (10 + step))
        if step > 1:
            expected = kept * expected + (1 - kept) * saved[name + "/unaveraged"]
            np.testing.assert_allclose(saved[name], expected, rtol=1e-4, atol=1e-7)
        expected = saved[name]


def test_the_detector_asks_for_less_where_smoothed_labels_lower_the_scores(unbroken):
    """With a label smoothing of 0.1, a network gives 0.9 where it would give 1 otherwise."""
    assert run_directory.resolve(str(unbroken))[0].detector.threshold == 0.81


def test_normalized_features_are_those_of_training_clips(data, unbroken):  # noqa: F811
    """Mean 0 and deviation 1 on other training clips than those that were counted, too."""
    found = weights(unbroken)
    description = run_directory.resolve(str(unbroken))[0]
    stream = batches.TrainingStream(dataset.load(data), description.data, description.features, 20, 59185)
    features = np.concatenate([stream.batch(step)[0] for step in range(100, 120)])
    normal = (features - found["ds_cnn/features/mean"]) / found["ds_cnn/features/deviation"]
    assert np.abs(normal.mean(axis=(0, 1))).max() < 0.2 and np.abs(normal.std(axis=(0, 1)) - 1).max() < 0.2


def test_a_frozen_network_normalizes_features(unbroken, data, kws, tmp_path):  # noqa: F811
    result = kws("freeze", "--checkpoint", unbroken, "--format", "pb,pb-features", "--output", str(tmp_path) + "/")
    assert result.exit_code == 0 and "scores within" in result.stdout


def test_validation_uses_the_averages(unbroken, data, kws):  # noqa: F811
    metrics = run_directory.read_metrics(str(unbroken))
    last = [line["validation_accuracy"] for line in metrics if "validation_accuracy" in line][-1]
    prefix = unbroken / "ds_cnn-30.ckpt"
    result = kws("eval", "--checkpoint", prefix, "--data-path", data, "--split", "validation", "--json")
    assert result.exit_code == 0 and '"accuracy": %s' % last in result.stdout


def test_a_run_without_averages_cannot_continue_with_them(data, tmp_path):  # noqa: F811
    assert train(data, tmp_path / "run", *COSINE).exit_code == 0
    result = train(data, tmp_path / "run", *COSINE, "--weight-averaging", "0.9")
    assert result.exit_code == 1 and "weight_averaging 0.9, not 0.0" in result.output


def test_a_teacher_changes_the_weights_and_no_checkpoint_contains_it(data, unbroken, tmp_path):  # noqa: F811
    taught = COSINE + ("--teacher", "%s,%s" % (unbroken, unbroken / "ds_cnn-30.ckpt"))
    result = train(data, tmp_path / "run", *taught)
    assert result.exit_code == 0, result.output
    assert train(data, tmp_path / "alone", *COSINE).exit_code == 0
    mine, alone = weights(tmp_path / "run"), weights(tmp_path / "alone")
    assert set(mine) == set(alone)
    assert np.abs(mine["ds_cnn/fc1/weights"] - alone["ds_cnn/fc1/weights"]).max() > 1e-3
    description = run_directory.resolve(str(tmp_path / "run"))[0]
    assert description.train.teacher == (str(unbroken), str(unbroken / "ds_cnn-30.ckpt"))
    assert len(description.teacher_sha256) == 2 and description.portable().train.teacher == ()


def test_a_teacher_sees_features_of_its_own_kind(data, unbroken, tmp_path):  # noqa: F811
    result = train(data, tmp_path / "run", *COSINE, "--teacher", str(unbroken), "--features", "log_mel")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("flags, message", [
    (("--wanted_words", "high,low"), "has the labels _silence_,_unknown_,low,high, but this training has "
     "_silence_,_unknown_,high,low; name a teacher of the same labels in the same order, or change --wanted-words"),
    (("--clip-duration-ms", "800"), "has --clip-duration-ms 1000, but this training has 800; name a teacher of"),
])
def test_a_teacher_of_something_else_is_refused(data, unbroken, tmp_path, flags, message):  # noqa: F811
    result = train(data, tmp_path / "run", *COSINE, "--teacher", str(unbroken), *flags)
    assert result.exit_code == 1 and message in result.output, result.output
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_is_not_there_is_refused(data, tmp_path):  # noqa: F811
    result = train(data, tmp_path / "run", *COSINE, "--teacher", str(tmp_path / "nothing"))
    assert result.exit_code == 1 and "there is no checkpoint" in result.output
