//! JSON against the schemas of an OpenAPI document: the part of JSON Schema that the document uses, and stricter in one thing: what
//! has members may have no others, so that nothing is answered that is not described.

use serde_json::{Map, Value};

/// Checks a value by one of the document's schemas.
///
/// # Errors
/// Where it is otherwise than described.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    Check { document }.check(schema, value, "$")
}

/// What a reference stands for, and everything else for itself.
pub fn resolved<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference
                .strip_prefix('#')
                .expect("references stay in the document");
            let found = document.pointer(pointer);
            found.unwrap_or_else(|| panic!("{reference} stands for nothing"))
        }
        None => part,
    }
}

struct Check<'a> {
    document: &'a Value,
}

impl Check<'_> {
    fn check(&self, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        let schema = schema.as_object().expect("a schema is an object");
        for (keyword, rule) in schema {
            self.keyword(schema, keyword, rule, value, place)
                .map_err(|fault| {
                    if fault.starts_with('$') {
                        fault
                    } else {
                        format!("{place}: {fault} in {value}")
                    }
                })?;
        }
        Ok(())
    }

    fn keyword(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        place: &str,
    ) -> Result<(), String> {
        let holds = |holds: bool| {
            if holds {
                Ok(())
            } else {
                Err(format!("{keyword} {rule} does not hold"))
            }
        };
        let limit = || rule.as_u64().expect("limits are numbers");
        match keyword {
            "$ref" => self.check(
                resolved(self.document, &Value::Object(schema.clone())),
                value,
                place,
            ),
            "type" => holds(match rule {
                Value::Array(types) => types.iter().any(|name| is_a(value, name)),
                name => is_a(value, name),
            }),
            "enum" => holds(rule.as_array().is_some_and(|values| values.contains(value))),
            "const" => holds(rule == value),
            "anyOf" => {
                let mut rules = rule.as_array().expect("a list").iter();
                holds(rules.any(|rule| self.check(rule, value, place).is_ok()))
            }
            "minimum" => holds(value.as_f64().is_none_or(|number| Some(number) >= rule.as_f64())),
            "maximum" => holds(value.as_f64().is_none_or(|number| Some(number) <= rule.as_f64())),
            "minLength" => holds(
                value
                    .as_str()
                    .is_none_or(|text| text.chars().count() as u64 >= limit()),
            ),
            "maxLength" => holds(
                value
                    .as_str()
                    .is_none_or(|text| text.chars().count() as u64 <= limit()),
            ),
            "minItems" => holds(value.as_array().is_none_or(|list| list.len() as u64 >= limit())),
            "maxItems" => holds(value.as_array().is_none_or(|list| list.len() as u64 <= limit())),
            "items" => self.items(rule, value, place),
            "properties" => self.members(schema, rule, value, place),
            "required" => {
                let mut names = rule.as_array().expect("a list").iter();
                let has = |name: &Value| name.as_str().is_some_and(|name| value.get(name).is_some());
                holds(!value.is_object() || names.all(has))
            }
            "additionalProperties" => match value.as_object() {
                Some(members) => members
                    .iter()
                    .try_for_each(|(name, value)| self.check(rule, value, &format!("{place}.{name}"))),
                None => Ok(()),
            },
            // What is said, and what is not checked here.
            "description" | "deprecated" | "default" | "format" | "pattern" => Ok(()),
            _ => Err(format!("the keyword {keyword} is not understood here")),
        }
    }

    fn items(&self, rule: &Value, value: &Value, place: &str) -> Result<(), String> {
        let mut items = value.as_array().into_iter().flatten().enumerate();
        items.try_for_each(|(number, item)| self.check(rule, item, &format!("{place}[{number}]")))
    }

    fn members(
        &self,
        schema: &Map<String, Value>,
        rule: &Value,
        value: &Value,
        place: &str,
    ) -> Result<(), String> {
        for (name, value) in value.as_object().into_iter().flatten() {
            match rule.get(name) {
                Some(rule) => self.check(rule, value, &format!("{place}.{name}"))?,
                None if schema.contains_key("additionalProperties") => {}
                None => return Err(format!("{place}.{name} is not described")),
            }
        }
        Ok(())
    }
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str().expect("a type has a name") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not understood here"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(schema: &Value, value: &Value) -> Option<String> {
        let document = json!({ "schemas": { "Short": { "type": "string", "maxLength": 2 } } });
        check(&document, schema, value).err()
    }

    #[test]
    fn each_keyword_bites() {
        for (schema, good, bad) in [
            (
                json!({"type": "integer", "minimum": 1, "maximum": 2}),
                json!(2),
                json!(3),
            ),
            (json!({"type": "integer"}), json!(u64::MAX), json!(1.5)),
            (json!({"minimum": 1}), json!(1), json!(0)),
            (json!({"type": ["string", "null"]}), json!(null), json!(true)),
            (json!({"enum": ["a"]}), json!("a"), json!("b")),
            (json!({"const": 0}), json!(0), json!(1)),
            (json!({"$ref": "#/schemas/Short"}), json!("ab"), json!("abc")),
            (json!({"minLength": 1}), json!("a"), json!("")),
            (json!({"minLength": 2}), json!("éé"), json!("é")),
            (json!({"maxLength": 1}), json!("é"), json!("éé")),
            (
                json!({"anyOf": [{"type": "null"}, {"type": "array", "items": {"const": 1}}]}),
                json!([1, 1]),
                json!([1, 2]),
            ),
            (
                json!({"minItems": 1, "maxItems": 2}),
                json!([1]),
                json!([1, 2, 3]),
            ),
            (json!({"minItems": 1}), json!([1]), json!([])),
            (
                json!({"type": "object", "required": ["a"]}),
                json!({"a": 1}),
                json!({}),
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "boolean"}}}),
                json!({"a": true}),
                json!({"a": 1}),
            ),
            (
                json!({"type": "object", "properties": {"a": {}}}),
                json!({}),
                json!({"b": 1}),
            ),
            (
                json!({"additionalProperties": {"type": "string"}}),
                json!({"b": "c"}),
                json!({"b": 1}),
            ),
        ] {
            assert_eq!(fault(&schema, &good), None);
            assert!(fault(&schema, &bad).is_some(), "{schema} {bad}");
        }
        assert!(
            fault(&json!({"not": {}}), &json!(1))
                .unwrap()
                .contains("not understood")
        );
        let nested = json!({"properties": {"a": {"items": {"type": "null"}}}});
        assert!(
            fault(&nested, &json!({"a": [null, 1]}))
                .unwrap()
                .starts_with("$.a[1]: ")
        );
    }
}
