"""The Beta law restricted to an interval, inverted: how a uniform number becomes a share of an utterance."""

from __future__ import annotations

import math

_TINY = 1e-300
_BISECTIONS = 80
_MAX_TERMS = 500


def truncated_beta_inverse(u: float, alpha: float, beta: float, low: float, high: float) -> float:
    """The x in [low, high] with F(x) = F(low) + u (F(high) - F(low)), F the CDF of Beta(alpha, beta).

    Non-decreasing in u; nothing is clamped, so no mass gathers at the ends. Needs 0 <= u <= 1 and 0 <= low
    <= high <= 1.
    """
    if alpha == 1.0:
        return _within(1.0 - _power_law(1.0 - u, beta, 1.0 - high, 1.0 - low), low, high)
    if beta == 1.0:
        return _within(_power_law(u, alpha, low, high), low, high)
    if beta_cdf(low, alpha, beta) > 0.5:
        # The upper tail loses its digits next to 1; mirrored, the same mass is a small number with all its
        # digits.
        return _within(1.0 - _bisect(1.0 - u, beta, alpha, 1.0 - high, 1.0 - low), low, high)
    return _within(_bisect(u, alpha, beta, low, high), low, high)


def beta_cdf(x: float, alpha: float, beta: float) -> float:
    """The regularised incomplete beta function I_x(alpha, beta), for shapes up to 100."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    log_front = (
        math.lgamma(alpha + beta)
        - math.lgamma(alpha)
        - math.lgamma(beta)
        + alpha * math.log(x)
        + beta * math.log1p(-x)
    )
    # The continued fraction converges fast on this side of the mean; on the other, use I_x(a,b) = 1 -
    # I_{1-x}(b,a).
    if x < (alpha + 1.0) / (alpha + beta + 2.0):
        return math.exp(log_front) * _continued_fraction(x, alpha, beta) / alpha
    return 1.0 - math.exp(log_front) * _continued_fraction(1.0 - x, beta, alpha) / beta


def _continued_fraction(x: float, a: float, b: float) -> float:
    """The incomplete beta's continued fraction (DLMF 8.17.22), by Lentz's method."""
    numerator, denominator = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = denominator
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            denominator = 1.0 / _away_from_zero(1.0 + term * denominator)
            numerator = _away_from_zero(1.0 + term / numerator)
            value *= numerator * denominator
        if abs(numerator * denominator - 1.0) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _power_law(u: float, exponent: float, low: float, high: float) -> float:
    """Closed form for F(x) = x ** exponent on [low, high], written so that no power underflows."""
    if high <= 0.0:
        return 0.0
    ratio = (low / high) ** exponent
    return float(high * (ratio + u * (1.0 - ratio)) ** (1.0 / exponent))


def _bisect(u: float, alpha: float, beta: float, low: float, high: float) -> float:
    floor = beta_cdf(low, alpha, beta)
    mass = beta_cdf(high, alpha, beta) - floor
    if mass <= _TINY:
        # So deep in the tail that the law is a power of x and its mass underflows.
        return _power_law(u, alpha, low, high)
    target, left, right = floor + u * mass, low, high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (left + right)
        if beta_cdf(middle, alpha, beta) < target:
            left = middle
        else:
            right = middle
    return 0.5 * (left + right)


def _within(x: float, low: float, high: float) -> float:
    """Undo the last rounding only: the inverse lies in the interval by construction."""
    return min(max(x, low), high)
