//! Values with names, which users type and programs print.

/// Gives an enum its names: the constant `NAMES`, parsing, and printing. A variant with fields has one name,
/// which is parsed to the value listed here.
macro_rules! named {
    ($type:ident, $what:literal, { $($name:literal => $value:expr),+ $(,)? }) => {
        impl $type {
            /// All names.
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];
        }

        impl std::str::FromStr for $type {
            type Err = $crate::Error;

            fn from_str(name: &str) -> Result<Self, $crate::Error> {
                match name {
                    $($name => Ok($value),)+
                    _ => Err($crate::Error::unknown_name($what, name, &Self::NAMES)),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let kind = std::mem::discriminant::<Self>;
                let mut named = [$(($name, $value)),+].into_iter();
                let (name, _) = named.find(|(_, value)| kind(value) == kind(self)).expect("every kind has a name");
                f.pad(name)
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    use crate::Initializer;
    use std::fmt::Display;
    use std::str::FromStr;

    fn round_trip<V: FromStr<Err = crate::Error> + Display>(names: &[&str]) {
        for name in names {
            assert_eq!(name.parse::<V>().expect("a known name").to_string(), *name);
            assert!(format!("{name}x").parse::<V>().is_err());
        }
    }

    #[test]
    fn what_is_printed_is_parsed() {
        round_trip::<Initializer>(&Initializer::NAMES);
    }
}
