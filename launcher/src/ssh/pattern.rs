//! Patterns with `*` and `?`, as `~/.ssh/config` and `known_hosts` have them.

/// Whether `pattern`, in which `*` stands for any bytes and `?` for one, matches `name`. The time is at most
/// proportional to the product of the lengths.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // The last star, and the end of what it has swallowed so far.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, swallowed)) = star else { return false };
                star = Some((at, swallowed + 1));
                (p, n) = (at + 1, swallowed + 1);
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Whether a list of patterns matches `name`: one pattern does, and none of those that follow a `!`.
pub(super) fn any_matches<'p>(patterns: impl IntoIterator<Item = &'p str>, name: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, which takes exponential time.
    fn defined(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], _) => name.is_empty(),
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|from| defined(rest, &name[from..])),
            ([b'?', rest @ ..], [_, behind @ ..]) => defined(rest, behind),
            ([byte, rest @ ..], [first, behind @ ..]) => byte == first && defined(rest, behind),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_they_are_defined(pattern in "[ab*?]{0,7}", name in "[ab]{0,9}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                defined(pattern.as_bytes(), name.as_bytes())
            );
        }
    }

    #[test]
    fn a_negated_pattern_wins_wherever_it_stands() {
        for (list, expected) in
            [("a*", true), ("!ab,a*", false), ("a*,!ab", false), ("!b,a?", true), ("!b", false)]
        {
            assert_eq!(any_matches(list.split(','), "ab"), expected, "{list}");
        }
    }
}
