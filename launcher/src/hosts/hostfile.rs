//! Hostfiles.
//!
//! ```text
//! line   = [host {option}] [# comment]
//!        | host slots queue processors              (as in $PE_HOSTFILE of SGE)
//! host   = [user@]name[:port] | [user@][v6-address]:port | [user@][v6-address]
//! option = slots=N | max_slots=N | user=NAME | port=N | identity=FILE | iface=NAME | addr=ADDRESS
//!        | cpus=0-3,8 | workdir=FOLDER | env.NAME=VALUE
//! ```
//!
//! PBS and LSF write a line for each slot. So a host without options may be in several lines; then each
//! such line of the file is one slot.

use super::grammar::{Problem, Word, words};
use super::{Error, Host};
use crate::system::escape::excerpt;
use crate::system::{cores, names, text_file, variables};
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// More ranks than any host runs.
const MAX_SLOTS: u32 = 1024;
/// The longest name that a host can have.
const MAX_NAME: usize = 253;

/// Reads a hostfile with at least one host.
pub(crate) fn read(path: &Path) -> Result<Vec<Host>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_path_buf(), source };
    let text = text_file::read(path).map_err(unreadable)?;
    let hosts = parse(&text, &path.display().to_string())?;
    if hosts.is_empty() {
        return Err(Error::NoHost { list: format!("--hostfile {}", path.display()) });
    }
    Ok(hosts)
}

/// A host of a hostfile, and the lines that name it.
struct Listed {
    host: Host,
    line: usize,
    /// The number of lines that name it alone; in SGE's form, its slots.
    count: u32,
    form: Form,
}

/// The forms of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The host alone.
    Bare,
    /// The host with options.
    Options,
    /// The host, slots, queue and processors.
    Sge,
}

fn parse(text: &str, file: &str) -> Result<Vec<Host>, Error> {
    let mut listed: Vec<Listed> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mistake = |Problem { column, text }| Error::Line {
            file: file.to_string(),
            line: number,
            column,
            problem: text,
        };
        let words = words(line).map_err(mistake)?;
        let Some((first, options)) = words.split_first() else { continue };
        let (host, form) = host(first, options).map_err(mistake)?;
        if let Some(hint) = host.port_hint().filter(|_| options.is_empty()) {
            log::warn!("{file}:{number}: {hint}");
        }
        let count = host.slots.unwrap_or(1);
        match listed.iter_mut().find(|other| other.host.is_same(&host)) {
            Some(other) if other.form == form && form != Form::Options => other.count += count,
            Some(other) => {
                let problem = format!("host '{}' is already in line {}", host.name, other.line);
                return Err(mistake(Problem::new(first.column, problem)));
            }
            None => listed.push(Listed { host, line: number, count, form }),
        }
    }
    let has_line_for_each_slot = listed.iter().any(|listed| listed.form == Form::Bare && listed.count > 1);
    let host = |Listed { host, line, count, form }: Listed| {
        let slots = match form {
            Form::Options => host.slots,
            Form::Bare => has_line_for_each_slot.then_some(count),
            Form::Sge => Some(count),
        };
        match slots {
            Some(slots) if slots > MAX_SLOTS => Err(Error::Line {
                file: file.to_string(),
                line,
                column: 1,
                problem: format!("host '{}' has {slots} slots, at most {MAX_SLOTS} are possible", host.name),
            }),
            slots => Ok(Host { slots, ..host }),
        }
    };
    listed.into_iter().map(host).collect()
}

/// The hosts of `-H [user@]host[:slots],…`.
pub(crate) fn inline(list: &str) -> Result<Vec<Host>, Error> {
    let (mut hosts, mut column): (Vec<Host>, usize) = (Vec::new(), 1);
    for part in list.split(',') {
        let mistake =
            |Problem { column, text }| Error::Line { file: "-H".to_string(), line: 1, column, problem: text };
        let word = Word { text: part.to_string(), column };
        let (mut host, slots) = address(&word).map_err(mistake)?;
        host.slots = slots.map(|slots| number(&slots, "slots", MAX_SLOTS)).transpose().map_err(mistake)?;
        if hosts.iter().any(|other| other.is_same(&host)) {
            return Err(mistake(Problem::new(column, format!("host '{}' is there already", host.name))));
        }
        hosts.push(host);
        column += part.chars().count() + 1;
    }
    Ok(hosts)
}

fn host(first: &Word, options: &[Word]) -> Result<(Host, Form), Problem> {
    let (mut host, port) = address(first)?;
    host.port = port.map(|port| number(&port, "port", u16::MAX.into())).transpose()?.map(|port| port as u16);
    if let [slots, _queue, _processors] = options
        && slots.text.bytes().all(|byte| byte.is_ascii_digit())
    {
        host.slots = Some(number(slots, "slots", MAX_SLOTS)?);
        return Ok((host, Form::Sge));
    }
    for (index, word) in options.iter().enumerate() {
        check_blanks(word, options.get(index + 1))?;
        option(&mut host, word)?;
    }
    if let (Some(slots), Some(max)) = (host.slots, host.max_slots)
        && max < slots
    {
        let problem = format!("max_slots={max} is less than slots={slots}");
        return Err(Problem::new(first.column, problem));
    }
    Ok((host, if options.is_empty() { Form::Bare } else { Form::Options }))
}

/// Refuses `name = value`, `name= value` and `name =value`.
fn check_blanks(word: &Word, next: Option<&Word>) -> Result<(), Problem> {
    let Some(next) = next else { return Ok(()) };
    let is_split = match word.text.split_once('=') {
        None => next.text.starts_with('='),
        Some((name, value)) => value.is_empty() && !name.starts_with("env.") && !next.text.contains('='),
    };
    if is_split {
        let name = excerpt(word.text.trim_end_matches('='));
        return Err(Problem::new(word.column, format!("no blanks around =: {name}=VALUE")));
    }
    Ok(())
}

/// Parses `[user@]host[:number]`: the host, and the number as it is written.
fn address(word: &Word) -> Result<(Host, Option<Word>), Problem> {
    let problem = |text: String| Problem::new(word.column, text);
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let (user, rest) = match word.text.rsplit_once('@') {
        Some((user, rest)) => (Some(name_of_user(user, word.column)?), rest),
        None => (None, word.text.as_str()),
    };
    let (name, number) = if let Some(inner) = rest.strip_prefix('[') {
        let (name, behind) = inner
            .split_once(']')
            .ok_or_else(|| problem(format!("'{}': the ']' is missing", excerpt(rest))))?;
        // A link-local address has the interface behind it: fe80::1%eth0.
        let (address, zone) = name.split_once('%').map_or((name, None), |(name, zone)| (name, Some(zone)));
        if address.parse::<Ipv6Addr>().is_err() || !zone.is_none_or(is_name) {
            return Err(problem(format!("'{}' is not an IPv6 address", excerpt(name))));
        }
        match behind.strip_prefix(':') {
            Some(number) => (name, Some(number)),
            None if behind.is_empty() => (name, None),
            None => return Err(problem(format!("unexpected '{}' after the address", excerpt(behind)))),
        }
    } else if rest.matches(':').count() > 1 {
        return Err(problem(format!("'{0}': an IPv6 address needs brackets: [{0}]", excerpt(rest))));
    } else {
        let (name, number) = rest.split_once(':').map_or((rest, None), |(name, number)| (name, Some(number)));
        if name.len() > MAX_NAME || name.starts_with('-') || !is_name(name) {
            return Err(problem(format!("'{}' cannot be the name of a host", excerpt(name))));
        }
        (name, number)
    };
    let column = |number: &str| word.column + word.text.chars().count() - number.chars().count();
    let number = number.map(|number| Word { text: number.to_string(), column: column(number) });
    Ok((Host { name: name.to_string(), user, ..Host::default() }, number))
}

fn option(host: &mut Host, word: &Word) -> Result<(), Problem> {
    let Some((name, value)) = word.text.split_once('=') else {
        let is_count = word.text.parse().is_ok_and(|count: u32| (1..=MAX_SLOTS).contains(&count));
        let meant = if is_count { format!("; did you mean 'slots={}'?", word.text) } else { String::new() };
        let text = format!("'{}' is not an option: expected name=value{meant}", excerpt(&word.text));
        return Err(Problem::new(word.column, text));
    };
    let value = Word { text: value.to_string(), column: word.column + name.chars().count() + 1 };
    let problem = |text: String| Problem::new(value.column, text);
    if value.text.is_empty() && !name.starts_with("env.") {
        return Err(problem(format!("{name}= has no value")));
    }
    let text = || value.text.clone();
    let is_first = match name {
        "slots" => set(&mut host.slots, number(&value, name, MAX_SLOTS)?),
        "max_slots" | "max-slots" => set(&mut host.max_slots, number(&value, name, MAX_SLOTS)?),
        "port" => set(&mut host.port, number(&value, name, u16::MAX.into())? as u16),
        "user" => set(&mut host.user, name_of_user(&value.text, value.column)?),
        "identity" => set(&mut host.identity, PathBuf::from(text())),
        "iface" => set(&mut host.interface, text()),
        "workdir" => set(&mut host.folder, text()),
        "addr" => {
            let address = value.text.parse::<IpAddr>();
            let expected = match value.text.contains('%') {
                true => "ranks cannot use an address with a zone: give another address, or iface=",
                false => "expected an IP address",
            };
            let address =
                address.map_err(|_| problem(format!("addr={}: {expected}", excerpt(&value.text))))?;
            set(&mut host.address, address)
        }
        "cpus" => {
            let cores = cores::parse(&value.text);
            let expected = "expected numbers and ranges like 0-3,8";
            set(
                &mut host.cores,
                cores.ok_or_else(|| problem(format!("cpus={}: {expected}", excerpt(&value.text))))?,
            )
        }
        _ => match name.strip_prefix("env.") {
            Some(variable) => {
                variables::check(variable).map_err(|problem| Problem::new(word.column, problem))?;
                let is_first = host.env.iter().all(|(other, _)| other != variable);
                host.env.push((variable.to_string(), text()));
                is_first
            }
            None => return Err(unknown(name, word.column)),
        },
    };
    if is_first {
        Ok(())
    } else {
        Err(Problem::new(word.column, format!("{} is given twice", excerpt(name))))
    }
}

fn unknown(name: &str, column: usize) -> Problem {
    const KNOWN: [&str; 10] =
        ["slots", "max_slots", "user", "port", "identity", "iface", "addr", "cpus", "workdir", "env.NAME"];
    Problem::new(column, names::unknown("option", &excerpt(name), &KNOWN))
}

/// Sets an option. Returns whether it was not set before.
fn set<T>(option: &mut Option<T>, value: T) -> bool {
    option.replace(value).is_none()
}

fn number(word: &Word, name: &str, max: u32) -> Result<u32, Problem> {
    match word.text.parse() {
        Ok(value) if (1..=max).contains(&value) && !word.text.starts_with('+') => Ok(value),
        _ => Err(Problem::new(
            word.column,
            format!("{name} must be a whole number from 1 to {max}, it is '{}'", excerpt(&word.text)),
        )),
    }
}

fn name_of_user(text: &str, column: usize) -> Result<String, Problem> {
    let is_name = |c: char| c.is_alphanumeric() || "-._@$\\+".contains(c);
    if text.is_empty() || text.starts_with('-') || !text.chars().all(is_name) {
        return Err(Problem::new(column, format!("'{}' cannot be the name of a user", excerpt(text))));
    }
    Ok(text.to_string())
}

#[cfg(test)]
mod tests;
