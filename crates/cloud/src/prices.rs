//! Prices that a user brings: discounts, savings plans, real spot prices.
//!
//! CSV without quoting surprises: `instance type,zone,capacity type,price`, a
//! header line allowed, `*` for every zone. Later lines win over earlier ones.

use std::collections::BTreeMap;

use stowage_model::{CapacityType, Code, InstanceType, Price};

use crate::error::CatalogError;

/// Overrides by instance type, zone (`*` for all) and capacity type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(BTreeMap<(String, String, CapacityType), Price>);

impl Prices {
    /// Reads the CSV form. `file` names it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, CatalogError> {
        let mut prices = BTreeMap::new();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        for (index, row) in reader.records().enumerate() {
            let at = |line: u64| format!("{file} line {line}");
            let row = row.map_err(|e| {
                CatalogError::new(Code::InCsv, at(e.position().map_or(0, csv::Position::line)), e.to_string())
            })?;
            let line = row.position().map_or(0, csv::Position::line);
            let fields: Vec<&str> = row.iter().collect();
            let [name, zone, capacity_type, price] = fields.as_slice() else {
                return Err(CatalogError::new(
                    Code::InCsv,
                    at(line),
                    format!("has {} columns; write instance type,zone or *,capacity type,price", fields.len()),
                ));
            };
            let kind = CapacityType::parse(capacity_type);
            if index == 0 && kind.is_none() && Price::parse(price).is_none() {
                continue; // a header
            }
            let kind = kind.ok_or_else(|| {
                let message = format!("capacity type {capacity_type:?} is none of on-demand, spot, reserved");
                CatalogError::new(Code::InCsv, at(line), message)
            })?;
            let price = Price::parse(price).ok_or_else(|| {
                let message =
                    format!("price {price:?} of {name} is not a number of dollars between 0 and 1,000,000 an hour");
                CatalogError::new(Code::InPrice, at(line), message)
            })?;
            prices.insert(((*name).to_owned(), (*zone).to_owned(), kind), price);
        }
        Ok(Self(prices))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The override for one offering.
    pub fn get(&self, name: &str, zone: &str, capacity_type: CapacityType) -> Option<Price> {
        let find = |zone: &str| self.0.get(&(name.to_owned(), zone.to_owned(), capacity_type)).copied();
        find(zone).or_else(|| find("*"))
    }

    /// Puts overrides in place of catalogue prices.
    pub fn apply(&self, types: &mut [InstanceType]) {
        if self.is_empty() {
            return;
        }
        for kind in types {
            for offering in &mut kind.offerings {
                if let Some(price) = self.get(&kind.name, &offering.zone, offering.capacity_type) {
                    offering.price = price;
                }
            }
        }
    }

    /// The types that have an override.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|(name, _, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_refused_by_line() {
        let prices = Prices::parse(
            "p.csv",
            "instance_type,zone,capacity_type,price\nm5.large,*,spot,0.03\nm5.large,a,spot,0.02\n",
        )
        .unwrap();
        assert_eq!(prices.get("m5.large", "a", CapacityType::Spot), Price::parse("0.02"));
        assert_eq!(prices.get("m5.large", "b", CapacityType::Spot), Price::parse("0.03"));
        assert_eq!(prices.get("m5.large", "b", CapacityType::OnDemand), None);
        for (text, code, line) in [
            ("m5.large,*,spot,NaN\nm5.large,*,spot,NaN", Code::InPrice, 1),
            ("m5.large,*,spot,1\nm5.large,*,spot,-1", Code::InPrice, 2),
            ("m5.large,*,spott,1", Code::InCsv, 1),
            ("m5.large,*,spot", Code::InCsv, 1),
        ] {
            let error = Prices::parse("p.csv", text).unwrap_err();
            assert_eq!((error.code, error.subject.as_str()), (code, format!("p.csv line {line}").as_str()), "{text}");
        }
    }
}
