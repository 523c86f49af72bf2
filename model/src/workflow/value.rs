//! What flows between components.

use super::component::ComponentError;
use serde_json::{Map, Value as Json};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What values a port takes or gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Whatever is there.
    Any,
    /// `true` or `false`.
    Switch,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list of values of JSON.
    List,
    /// Values of JSON by name.
    Record,
    /// JSON with a meaning that components agree on, such as `dataset` or `model`.
    Named(Cow<'static, str>),
    /// An object of this Rust type: it can be neither cached nor given to a command.
    Object(&'static str),
}

impl Type {
    /// JSON that has a meaning under this name.
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Named(name.into())
    }

    /// Objects of type `T`.
    pub fn object<T: Any>() -> Self {
        Self::Object(std::any::type_name::<T>())
    }

    /// The type that users write as `name`; names that are not known have a meaning of their own.
    pub fn from_name(name: &str) -> Self {
        match name {
            "any" => Self::Any,
            "switch" => Self::Switch,
            "number" => Self::Number,
            "text" => Self::Text,
            "list" => Self::List,
            "record" => Self::Record,
            name => Self::Named(name.to_string().into()),
        }
    }

    /// Whether a port of this type takes values of type `given`. What [`Any`](Self::Any) holds is checked
    /// when it is there.
    pub fn accepts(&self, given: &Self) -> bool {
        *self == Self::Any || *given == Self::Any || self == given
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Switch => "switch",
            Self::Number => "number",
            Self::Text => "text",
            Self::List => "list",
            Self::Record => "record",
            Self::Named(name) => name,
            Self::Object(name) => name,
        })
    }
}

/// A value and its type.
#[derive(Clone)]
pub struct Value {
    kind: Type,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Json(Json),
    Object(Arc<dyn Any + Send + Sync>),
}

impl Value {
    /// JSON that has a meaning under the name `kind`.
    pub fn named(kind: impl Into<Cow<'static, str>>, json: Json) -> Self {
        Self { kind: Type::named(kind), content: Content::Json(json) }
    }

    /// An object of Rust.
    pub fn object<T: Any + Send + Sync>(object: T) -> Self {
        Self { kind: Type::object::<T>(), content: Content::Object(Arc::new(object)) }
    }

    /// The value of type `kind` that `json` is; `None` if it is of another type.
    pub fn from_json(kind: &Type, json: Json) -> Option<Self> {
        match kind {
            Type::Object(_) => None,
            Type::Named(name) => Some(Self::named(name.clone(), json)),
            kind => Some(Self::from(json)).filter(|value| kind.accepts(&value.kind)),
        }
    }

    /// Its type.
    pub fn kind(&self) -> &Type {
        &self.kind
    }

    /// The value as JSON; `None` for an object.
    pub fn json(&self) -> Option<&Json> {
        match &self.content {
            Content::Json(json) => Some(json),
            Content::Object(_) => None,
        }
    }

    /// The object, if it is one of type `T`.
    pub fn downcast<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        match &self.content {
            Content::Json(_) => None,
            Content::Object(object) => Arc::clone(object).downcast().ok(),
        }
    }
}

impl<J: Into<Json>> From<J> for Value {
    fn from(json: J) -> Self {
        let json = json.into();
        let kind = match &json {
            Json::Null => Type::Any,
            Json::Bool(_) => Type::Switch,
            Json::Number(_) => Type::Number,
            Json::String(_) => Type::Text,
            Json::Array(_) => Type::List,
            Json::Object(_) => Type::Record,
        };
        Self { kind, content: Content::Json(json) }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Json(json) => write!(f, "{}: {json}", self.kind),
            Content::Object(_) => write!(f, "{}", self.kind),
        }
    }
}

/// Values with names, in order.
#[derive(Debug, Clone, Default)]
pub struct Values(Vec<(String, Value)>);

impl Values {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.push(name, value);
        self
    }

    /// Adds a value.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.push((name.into(), value.into()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The value called `name`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn need(&self, name: &str) -> Result<&Value, ComponentError> {
        self.get(name).ok_or_else(|| format!("the input '{name}' is missing").into())
    }

    /// The JSON of the value called `name`.
    ///
    /// # Errors
    ///
    /// When there is none, or it is an object.
    pub fn json(&self, name: &str) -> Result<&Json, ComponentError> {
        let value = self.need(name)?;
        value.json().ok_or_else(|| format!("'{name}' must be JSON, it is {value:?}").into())
    }

    /// The number called `name`.
    ///
    /// # Errors
    ///
    /// When there is none, or it is no number.
    pub fn number(&self, name: &str) -> Result<f64, ComponentError> {
        let json = self.json(name)?;
        json.as_f64().ok_or_else(|| format!("'{name}' must be a number, it is {json}").into())
    }

    /// The text called `name`.
    ///
    /// # Errors
    ///
    /// When there is none, or it is no text.
    pub fn text(&self, name: &str) -> Result<&str, ComponentError> {
        let json = self.json(name)?;
        json.as_str().ok_or_else(|| format!("'{name}' must be a text, it is {json}").into())
    }

    /// All of them as one JSON object; `None` if one is an object of Rust.
    pub fn to_json(&self) -> Option<Json> {
        let entry = |(name, value): &(String, Value)| Some((name.clone(), value.json()?.clone()));
        self.0.iter().map(entry).collect::<Option<Map<_, _>>>().map(Json::Object)
    }
}

impl FromIterator<(String, Value)> for Values {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
