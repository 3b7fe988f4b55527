//! Patterns as the operator writes them: `*` is any run of characters, everything else is itself.

use std::fmt;

/// A pattern with `*` for any run of characters, none included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    /// The pattern as written.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether the whole text fits the pattern. Takes time proportional to the product of the lengths at worst.
    pub fn fits(&self, text: &str) -> bool {
        fits(self.0.as_bytes(), text.as_bytes())
    }

    /// Whether it means one text only.
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether everything fits that begins so. False also where that cannot be told simply.
    pub fn fits_all_of(&self, beginning: &str) -> bool {
        self.0.strip_suffix('*').is_some_and(|literal| !literal.contains('*') && beginning.starts_with(literal))
    }

    /// Whether anything could fit that begins so. True also where that cannot be told simply.
    pub fn may_fit_some_of(&self, beginning: &str) -> bool {
        let literal = self.0.split('*').next().unwrap_or_default();
        literal.starts_with(beginning) || beginning.starts_with(literal)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Greedy matching that only ever goes back to the last star. Bytes serve: UTF-8 has no character inside another.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(read) {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, read));
                at += 1;
            }
            (Some(expected), _) if expected == byte => (at, read) = (at + 1, read + 1),
            (_, Some((star_at, star_read))) => {
                star = Some((star_at, star_read + 1));
                (at, read) = (star_at + 1, star_read + 1);
            }
            (_, None) => return false,
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_covered_as_a_whole_in_part_or_not_at_all() {
        let covers = |pattern: &str| {
            let glob = Glob::new(pattern);
            (glob.fits_all_of("home/"), glob.may_fit_some_of("home/"))
        };
        for pattern in ["*", "home/*", "ho*"] {
            assert_eq!(covers(pattern), (true, true), "{pattern}");
        }
        for pattern in ["home/kitchen/*", "home/lamp", "*/lamp", "h*/*"] {
            assert_eq!(covers(pattern), (false, true), "{pattern}");
        }
        for pattern in ["office/*", "homes/*", "x*"] {
            assert_eq!(covers(pattern), (false, false), "{pattern}");
        }
    }

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "home/kitchen/lamp"),
            ("home/*", "home/"),
            ("home/*", "home/kitchen/lamp"),
            ("*@example.org", "alice@example.org"),
            ("home/*/lamp", "home/a/b/lamp"),
            ("*a*b*", "xxaxxbxx"),
            ("*aab", "aaaab"),
            ("küche*", "küche/licht"),
            ("exact", "exact"),
        ] {
            assert!(Glob::new(pattern).fits(text), "{pattern} on {text}");
        }
    }

    #[test]
    fn everything_else_is_itself() {
        for (pattern, text) in [
            ("", "a"),
            ("exact", "exactly"),
            ("exactly", "exact"),
            ("*@example.org", "alice@example.org.evil.net"),
            ("*@example.org", "alice@xexample.org"),
            ("home/*", "home"),
            ("home/*", "homes/kitchen"),
            ("a?c", "abc"),
            ("[ab]", "a"),
            ("*a", "ab"),
        ] {
            assert!(!Glob::new(pattern).fits(text), "{pattern} on {text}");
        }
    }

    #[test]
    fn a_beginning_that_no_text_could_have_is_told() {
        for (pattern, start, may) in [
            ("*", "home/", true),
            ("home/*", "home/", true),
            ("home/kitchen/*", "home/", true),
            ("ho*", "home/", true),
            ("office/*", "home/", false),
            ("home/lamp", "home/", true),
            ("lamp", "home/", false),
        ] {
            assert_eq!(Glob::new(pattern).may_fit_some_of(start), may, "{pattern} on {start}");
        }
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = "*a".repeat(200);
        assert!(!Glob::new(pattern).fits(&"a".repeat(199)));
        assert!(!Glob::new("*a*a*a*a*a*a*a*a*b").fits(&"a".repeat(5000)));
    }
}
