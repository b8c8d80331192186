//! Corrections for many tests: adjusted p-values of one family.
//!
//! A test that is missing (`None`) is not in the family: it makes the family smaller and stays missing.
//! Adjusted values are at most 1; a hypothesis is rejected at level α when its adjusted value is at most α.

/// How p-values of one family are adjusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// Not at all.
    None,
    /// m · p: family-wise error.
    Bonferroni,
    /// Holm 1979, step down: family-wise error, never weaker than Bonferroni.
    Holm,
    /// Benjamini and Hochberg 1995, step up: false discovery rate.
    BenjaminiHochberg,
}

impl Correction {
    /// Reads the word that studies write.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "bonferroni" => Some(Self::Bonferroni),
            "holm" => Some(Self::Holm),
            "benjamini_hochberg" | "bh" => Some(Self::BenjaminiHochberg),
            _ => None,
        }
    }

    /// The adjusted p-values, in the order given.
    pub fn adjust(self, ps: &[Option<f64>]) -> Vec<Option<f64>> {
        let mut order: Vec<(usize, f64)> =
            ps.iter().enumerate().filter_map(|(i, p)| p.map(|p| (i, p))).collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let m = order.len() as f64;
        let mut out = vec![None; ps.len()];
        match self {
            Self::None => return ps.to_vec(),
            Self::Bonferroni => order.iter().for_each(|(i, p)| out[*i] = Some((p * m).min(1.0))),
            Self::Holm => {
                let mut highest = 0f64;
                for (rank, (i, p)) in order.iter().enumerate() {
                    highest = highest.max((m - rank as f64) * p).min(1.0);
                    out[*i] = Some(highest);
                }
            }
            Self::BenjaminiHochberg => {
                let mut lowest = 1f64;
                for (rank, (i, p)) in order.iter().enumerate().rev() {
                    lowest = lowest.min(p * m / (rank + 1) as f64);
                    out[*i] = Some(lowest);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn equal_to_statsmodels() {
        let families: Vec<BTreeMap<String, Vec<f64>>> =
            serde_json::from_str(include_str!("../../../tests/data/significance/corrections.json")).unwrap();
        for family in &families {
            let ps: Vec<Option<f64>> = family["p"].iter().copied().map(Some).collect();
            for name in ["bonferroni", "holm", "benjamini_hochberg"] {
                let got = Correction::parse(name).unwrap().adjust(&ps);
                for (got, expected) in got.iter().zip(&family[name]) {
                    assert!((got.unwrap() - expected).abs() < 1e-14, "{name} {got:?} {expected}");
                }
            }
        }
        assert!(families.len() >= 5);
    }

    #[test]
    fn missing_tests_leave_the_family() {
        let with = [Some(0.01), None, Some(0.04), None, Some(0.03)];
        for c in [Correction::None, Correction::Bonferroni, Correction::Holm, Correction::BenjaminiHochberg] {
            let got = c.adjust(&with);
            let without = c.adjust(&[Some(0.01), Some(0.04), Some(0.03)]);
            assert_eq!(got, [without[0], None, without[1], None, without[2]]);
            assert!(c.adjust(&[]).is_empty() && c.adjust(&[None]) == [None]);
        }
    }
}
