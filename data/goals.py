"""Goals of the reinforcement-learning domains: p(T) of [MuMoMAML] Fig. 3 and [MAML] 5.3.

[MuMoMAML]'s are drawn from one of two equally likely Gaussian modes, g ~ N(mean_k, std² I). Those
of navigation are read from the contours of its Figure 3d: ½ N((-½, -½), 0.1 I) + ½ N((½, ½),
0.1 I). The paper says of the half-cheetah's that they are bimodal and no more, so those numbers are
a choice, as are the wider goals of navigation. They can be reached within the horizon: a linear
policy per goal, searched for by `benchmarks/reachability.py`, ended with

    speed goal (m/s)       -2.5    -1.5    -0.5    0.5     1.5     2.5
    speed, second half     -2.57   -1.44   -0.49   0.46    1.53    2.75
    return                 -68     -41     -14     -19     -36     -111

    location goal (m)      -7      -5      -3      3       5       7
    x, second half         -9.53   -5.12   -3.46   3.30    5.52    6.86
    return                 -749    -213    -159    -164    -367    -367

(standing still: -200 |g|), and a point needs 20 of its 100 steps to (±2, ±2).
"""

from data.goal_distributions import GaussianGoals, GoalDistribution, PointGoals, UniformGoals

DIRECTIONS = PointGoals(("backward", "forward"), points=((-1.0,), (1.0,)))

GOALS: dict[str, GoalDistribution] = {
    "navigation_2d": GaussianGoals(
        mode_names=("lower_left", "upper_right"), means=((-0.5, -0.5), (0.5, 0.5)), std=0.1**0.5
    ),
    "navigation_2d_wide": GaussianGoals(
        mode_names=("lower_left", "upper_right"), means=((-2.0, -2.0), (2.0, 2.0)), std=0.5
    ),
    "cheetah_location": GaussianGoals(
        mode_names=("behind", "ahead"), means=((-5.0,), (5.0,)), std=1.0
    ),
    "cheetah_speed": GaussianGoals(
        mode_names=("backward", "forward"), means=((-1.5,), (1.5,)), std=0.5
    ),
    # [MAML]'s code: positions in the unit square, speeds in m/s, and directions.
    "maml_navigation": UniformGoals(("all",), low=((-0.5, -0.5),), high=((0.5, 0.5),)),
    "maml_cheetah_velocity": UniformGoals(("all",), low=((0.0,),), high=((2.0,),)),
    "maml_cheetah_direction": DIRECTIONS,
    "maml_ant_velocity": UniformGoals(("all",), low=((0.0,),), high=((3.0,),)),
    "maml_ant_direction": DIRECTIONS,
}
"""By domain: positions in the plane, x positions in m, speeds in m/s, directions ±1."""
