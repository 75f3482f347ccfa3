"""RL^2: a policy with a memory, which is all that adapts. [RL2]"""

from typing import Any, NamedTuple

import tensorflow as tf

from mmaml_tf.methods import register
from mmaml_tf.rl.config import RlConfig
from mmaml_tf.rl.policy_learner import PolicyLearner, compiled_alone
from mmaml_tf.rl.policy_method import PolicyMethod
from mmaml_tf.rl.recurrent import RecurrentPolicy
from mmaml_tf.rl.rollouts import Experience, Rollouts
from mmaml_tf.rl.sampler import Sampler, Witness
from mmaml_tf.rl.tasks import GoalTasks
from mmaml_tf.rl.trial_export import export_recurrent
from mmaml_tf.rl.trials import States, TrialData, TrialPolicy, inputs_size, trial_of


class Remembered(NamedTuple):
    """What a learner makes of a batch of tasks.

    Attributes:
      policy: with the states after all episodes.
      embedding: none.
    """

    policy: TrialPolicy
    embedding: None = None


class RL2(PolicyLearner):
    """A recurrent policy that keeps its state over the episodes of a task (Duan et al. 2016,
    arXiv:1611.02779).

    It sees the observation and the action, the reward and the end of the step before, and is
    trained, by TRPO as there, on the return of the whole *trial*: of all its episodes. Its size,
    lambda and the baseline, fitted to each task, are choices. There are no gradient steps on a
    task: what other methods report after k steps is here the return of the episode after k others
    of the same trial.

    Args:
      network: the policy.
      trial_episodes: of a trial in training.
      **settings: see `PolicyLearner`.
    """

    def __init__(self, network: RecurrentPolicy, trial_episodes: int, **settings: Any):
        super().__init__(**settings)
        self.network = network
        self.trial_episodes = trial_episodes
        self.built = True

    def experience(self, tasks: GoalTasks) -> Experience:
        """Plays a trial in every task, several times."""
        self.play(tasks, self.trial_episodes)
        return Experience(None, (), self.trial_data(trial_of(tasks.rollouts)))

    def play(self, tasks: GoalTasks, num_episodes: int) -> TrialPolicy:
        """Plays so many episodes in a row, from empty states; returns the policy that did."""
        batch = (len(tasks.goals), tasks.num_rollouts)
        states = self.network.initial_states(batch[0] * batch[1])
        policy = TrialPolicy(self.step, states, batch, tasks.sampler.action_size)
        for _ in range(num_episodes):
            policy.start_episode()
            tasks.act(policy, policy.met)
        return policy

    def adapt_to(self, tasks: GoalTasks, num_steps: int) -> Remembered:
        """See `PolicyLearner`; a step is an episode here."""
        return Remembered(self.play(tasks, num_steps + 1))

    def acting(self, adaptation: Remembered, task: int) -> tuple[TrialPolicy, Witness]:
        """See `PolicyLearner`: another episode of the task's first trial."""
        policy = adaptation.policy.of_one(task)
        return policy, policy.met

    def replay(self, experience: Experience, at: Any = None) -> tuple[tf.Tensor, tuple]:
        """See `PolicyLearner`: the outputs in all trials, each from an empty state."""
        query = experience.query
        return self.network(query.observations, query.weights > 0), ()

    @compiled_alone
    def step(self, inputs: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
        """One step of every trial; see `RecurrentPolicy`."""
        return self.network.step(inputs, states)

    @compiled_alone
    def trial_data(self, trial: Rollouts) -> TrialData:
        """Trials prepared for policy gradients."""
        return TrialData.from_rollouts(trial, self.discount, self.gae_lambda)


def recurrent_policy(config: RlConfig, sampler: Sampler, **settings: Any) -> RL2:
    """An `RL2` as a run's settings say; every hidden layer is a GRU."""
    assert config.trial_episodes is not None
    seen = inputs_size(sampler.observation_size, sampler.action_size)
    network = RecurrentPolicy(seen, config.hidden_units, sampler.action_size)
    return RL2(network, config.trial_episodes, **settings)


# Two episodes to a trial and 64 units, as in [ProMP code], but ten trials of each task that the
# other methods meet, where there it is one of each of 200 tasks.
register(
    "rl2",
    "rl",
    settings=["trial", "eval_steps", "meta_update"],
    published={"rl": dict(rollouts=10, hidden_units=(64,))},
)(PolicyMethod(recurrent_policy, export_recurrent, step="episode"))
