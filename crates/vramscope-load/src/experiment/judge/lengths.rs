//! What prompts and answers of several lengths say.

use super::{MATTERS, caveats, evidence, verdict};
use crate::document::{CoefficientDocument, EvidenceDocument, FitDocument, LengthsExperiment, VerdictDocument};
use crate::experiment::{FALSE_ALARMS, float};
use crate::fit::t_quantile;

/// A fit that leaves more than this part of the variance is no rule.
const POOR: f64 = 0.8;

/// Of several lengths.
pub(in crate::experiment) fn lengths(of: &LengthsExperiment) -> Vec<VerdictDocument> {
    let mut verdicts = caveats(of.cells.iter().map(|cell| &cell.measurement));
    verdicts.extend(of.prefill.as_ref().and_then(prefill));
    verdicts.extend(of.decode.as_ref().and_then(decode));
    verdicts
}

fn figures(fit: &FitDocument) -> Vec<EvidenceDocument> {
    let mut figures = Vec::new();
    for one in &fit.coefficients {
        figures.push(evidence(&one.name, one.value, &one.unit));
        figures.push(evidence(&format!("standard error of {}", one.name), one.std_error, &one.unit));
    }
    figures.extend(fit.r2.map(|r2| evidence("R²", r2, "")));
    figures.push(evidence("residual deviation", fit.residual_std_ms, "ms"));
    figures
}

/// The upper end of the interval of a coefficient.
fn upper(fit: &FitDocument, one: &CoefficientDocument) -> f64 {
    let freedom = float(fit.n.saturating_sub(fit.coefficients.len() as u64));
    t_quantile(freedom, FALSE_ALARMS).map_or(f64::INFINITY, |t| one.value + t * one.std_error)
}

fn prefill(fit: &FitDocument) -> Option<VerdictDocument> {
    let value = |name: &str| fit.coefficient(name).map(|one| one.value);
    let (a, b, c) = (value("a")?, value("b")?, value("c").unwrap_or(0.0));
    let at = |tokens: f64| a + b * tokens + c * tokens * tokens;
    let told = fit.coefficients.iter().skip(1).any(|one| one.differs_from_zero && one.value > 0.0);
    let range = format!("{:.0} to {:.0} tokens", fit.from_tokens, fit.to_tokens);
    if !told {
        let most = fit.coefficient("b").map_or(f64::INFINITY, |b| upper(fit, b)) * (fit.to_tokens - fit.from_tokens);
        let mut figures = figures(fit);
        figures.push(evidence("growth over the range at most, with 99 %", most, "ms"));
        if most > MATTERS * a {
            return Some(verdict(
                "prompt_cost_not_told",
                format!(
                    "over {range} the time to the first token scatters too much to tell whether it grows with the prompt"
                ),
                Some("more requests (--num-prompts), longer prompts (--input-len), and no other work on the machine"),
                figures,
            ));
        }
        return Some(verdict(
            "prompt_length_free",
            format!(
                "the time to the first token does not grow with the prompt over {range}: it is a fixed cost of {a:.1} ms"
            ),
            Some("longer prompts to see their cost: --input-len"),
            figures,
        ));
    }
    let (half, whole) = (at(fit.to_tokens / 2.0), at(fit.to_tokens));
    let mut figures = figures(fit);
    figures.push(evidence("fitted at the longest prompt", whole, "ms"));
    figures.push(evidence("fitted at half of it", half, "ms"));
    if fit.r2.is_some_and(|r2| r2 < POOR) {
        return Some(verdict(
            "no_rule_of_prompts",
            format!("the time to the first token grows with the prompt over {range}, and not by this rule"),
            Some("read the table; more requests (--num-prompts) or lengths may show one"),
            figures,
        ));
    }
    let times = whole / half;
    let quadratic = if c > 0.0 && c * fit.to_tokens * fit.to_tokens > MATTERS * whole {
        let part = c * fit.to_tokens * fit.to_tokens / whole;
        format!("; {:.0} % of it at the longest grow with the square, as attention does", part * 100.0)
    } else {
        String::new()
    };
    let speed = if b > 0.0 { format!(", and its tokens at about {:.0} a second", 1e3 / b) } else { String::new() };
    Some(verdict(
        "prompt_cost",
        format!(
            "before the first token pass {a:.1} ms whatever the prompt{speed}. From {:.0} to {:.0} tokens it takes {times:.2} \
             times as long{quadratic}",
            fit.to_tokens / 2.0,
            fit.to_tokens
        ),
        (times > 1.5).then_some("prompts are bound by their length: prefix caching, or more compute"),
        figures,
    ))
}

fn decode(fit: &FitDocument) -> Option<VerdictDocument> {
    let (d, e) = (fit.coefficient("d")?, fit.coefficient("e")?);
    let mut figures = figures(fit);
    let range = format!("{:.0} to {:.0} tokens of context", fit.from_tokens, fit.to_tokens);
    let more = e.value * (fit.to_tokens - fit.from_tokens) / (d.value + e.value * fit.from_tokens);
    figures.push(evidence("growth of a further token's time over the range", more, ""));
    if !e.differs_from_zero || e.value <= 0.0 || more < MATTERS {
        let least = d.value + e.value * fit.from_tokens;
        let most = upper(fit, e) * (fit.to_tokens - fit.from_tokens);
        figures.push(evidence("growth over the range at most, with 99 %", most, "ms"));
        if !e.differs_from_zero && most > MATTERS * least {
            return Some(verdict(
                "context_cost_not_told",
                format!(
                    "over {range} the time of a further token scatters too much to tell whether it grows with them"
                ),
                Some("more requests (--num-prompts), lengths farther apart, and no other work on the machine"),
                figures,
            ));
        }
        return Some(verdict(
            "context_free",
            format!("a further token takes {least:.2} ms over {range}: what stands before it hardly matters"),
            None,
            figures,
        ));
    }
    Some(verdict(
        "context_cost",
        format!(
            "a further token takes {:.2} ms and {:.2} ms more for each 1,000 tokens before it: {:.0} % more over {range}",
            d.value,
            e.value * 1e3,
            more * 100.0
        ),
        Some("reading the KV cache is part of each step: a smaller one (8 bits a value), shorter contexts"),
        figures,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::document;
    use crate::fit::Fit;

    #[test]
    fn what_lengths_cost_is_said_only_where_it_is_told_from_nothing() {
        let fit = |a: (f64, f64), b: (f64, f64), r2| Fit {
            coefficients: vec![a, b],
            freedom: 40.0,
            r2: Some(r2),
            residual_sd: 0.1,
        };
        let range = [10.0, 1000.0].into_iter().cycle().take(42);
        let of = |fit: &Fit| {
            let names = [("a", "", "ms"), ("b", "", "ms/token")];
            prefill(&document("", fit, &names, range.clone())).unwrap()
        };
        let cost = of(&fit((10.0, 0.1), (0.1, 0.001), 0.99));
        assert!(cost.code == "prompt_cost" && cost.message.contains("1.83 times"), "{}", cost.message);
        assert_eq!(of(&fit((10.0, 0.1), (0.0001, 0.0001), 0.02)).code, "prompt_length_free");
        assert_eq!(of(&fit((10.0, 4.0), (0.02, 0.01), 0.1)).code, "prompt_cost_not_told");
        assert_eq!(of(&fit((10.0, 5.0), (0.1, 0.02), 0.4)).code, "no_rule_of_prompts");
        let of = |fit: &Fit| {
            let names = [("d", "", "ms"), ("e", "", "ms/token")];
            decode(&document("", fit, &names, range.clone())).unwrap().code
        };
        assert_eq!(of(&fit((6.0, 0.1), (0.002, 0.0001), 0.9)), "context_cost");
        assert_eq!(of(&fit((6.0, 0.1), (0.000_1, 0.0001), 0.1)), "context_free");
        assert_eq!(of(&fit((6.0, 1.0), (0.002, 0.001), 0.1)), "context_cost_not_told");
    }
}
