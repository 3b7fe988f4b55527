//! "Did you mean": the known word that is closest to what somebody wrote.

/// The closest candidate, if it is close enough that a slip of the fingers explains the difference.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let slips_max = (word.chars().count() / 3).max(1);
    let ranked = candidates.into_iter().map(|candidate| (distance(&word, candidate), candidate));
    ranked.filter(|(slips, _)| *slips <= slips_max).min().map(|(_, candidate)| candidate)
}

/// ` (did you mean "...")`, or nothing.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, candidates).map_or_else(String::new, |candidate| format!("; did you mean \"{candidate}\"?"))
}

/// How many insertions, deletions, substitutions and swaps of neighbours lead from one word to the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, letter) in left.chars().enumerate() {
        let next = next_row(letter, previous, row, &right, &last, &before_last);
        before_last = std::mem::replace(&mut last, next);
        previous = Some(letter);
    }
    last.last().copied().unwrap_or_default()
}

fn next_row(
    letter: char,
    previous: Option<char>,
    row: usize,
    right: &[char],
    last: &[usize],
    before_last: &[usize],
) -> Vec<usize> {
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut next = vec![row + 1];
    for (column, other) in right.iter().enumerate() {
        let substituted = at(last, column) + usize::from(letter != *other);
        let mut best = substituted.min(at(last, column + 1) + 1).min(at(&next, column) + 1);
        let before = column.checked_sub(1).and_then(|before| right.get(before));
        if before == Some(&letter) && previous == Some(*other) {
            best = best.min(at(before_last, column.saturating_sub(1)) + 1);
        }
        next.push(best);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_slips() {
        for (left, right, slips) in
            [("", "", 0), ("", "ab", 2), ("plugin", "plugin", 0), ("plugni", "plugin", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(left, right), slips, "{left} {right}");
        }
    }

    #[test]
    fn suggests_only_what_is_close() {
        let known = ["jid", "password", "server", "tls"];
        assert_eq!(closest("pasword", known), Some("password"));
        assert_eq!(closest("Server", known), Some("server"));
        assert_eq!(closest("jdi", known), Some("jid"));
        assert_eq!(closest("resource", known), None);
    }
}
