"""How far a student is from its teacher."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Direction = Literal["teacher-student", "student-teacher"]


def divergence(student: Tensor, teacher: Tensor, direction: Direction) -> Tensor:
    """Kullback-Leibler divergence, mean over the batch: a scalar.

    Args:
        student: log-probabilities (B, C).
        teacher: the same, without gradient.
        direction: `teacher-student` is KL(p_t || p_s) (Hinton et al. 2015), `student-teacher` KL(p_s || p_t).
    """
    first, second = (teacher, student) if direction == "teacher-student" else (student, teacher)
    return F.kl_div(second, first, reduction="batchmean", log_target=True)


def blended(log_probabilities: Tensor, share: float) -> Tensor:
    """(B, C): log of `share` of each image's probabilities plus the rest of its partner's (mirrored position)."""
    if share == 1:
        return log_probabilities
    logs = [math.log(part) if part > 0 else -math.inf for part in (share, 1 - share)]
    return torch.logaddexp(log_probabilities + logs[0], log_probabilities.flip(0) + logs[1])
