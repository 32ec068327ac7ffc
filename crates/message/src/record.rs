use crate::{Header, Text, ValueType};

/// A message as stored: texts are offsets, what it shares with others is its envelope's, fields are
/// a range of the batch's field list.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Rec {
    pub timestamp: i64,
    pub payload: Text,
    pub uuid: Text,
    pub severity: i32,
    pub pid: i32,
    /// Place in the batch's list of envelopes.
    pub envelope: u32,
    pub first_field: u32,
    pub field_count: u32,
    pub hops: u8,
    pub has_severity: bool,
    pub has_pid: bool,
}

impl Rec {
    pub fn fields(self) -> std::ops::Range<usize> {
        self.first_field as usize..self.first_field as usize + self.field_count as usize
    }

    pub fn set_severity(&mut self, severity: i32) {
        (self.severity, self.has_severity) = (severity, true);
    }

    pub fn set_pid(&mut self, pid: i32) {
        (self.pid, self.has_pid) = (pid, true);
    }
}

/// The headers that most messages of a stream have in common, stored once for all of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Envelope {
    pub type_: Text,
    pub logger: Text,
    pub env_version: Text,
    pub hostname: Text,
    pub signer: Text,
}

impl Envelope {
    /// The header's text; `None` for a header that is not the envelope's.
    pub fn text(&self, header: Header) -> Option<Text> {
        match header {
            Header::Type => Some(self.type_),
            Header::Logger => Some(self.logger),
            Header::EnvVersion => Some(self.env_version),
            Header::Hostname => Some(self.hostname),
            _ => None,
        }
    }
}

/// A field as stored. With one value `bits` is the value, otherwise an index into the value list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub bits: u64,
    pub label: Label,
    /// Number of values, and their type in the lowest three bits.
    shape: u32,
}

impl Field {
    /// # Panics
    /// When there are more than 2^29 values; messages are bounded far below.
    #[inline]
    pub fn new(label: Label, type_: ValueType, count: usize, bits: u64) -> Field {
        assert!(count < 1 << 29, "a field is limited to 2^29 values");
        Field { bits, label, shape: (count as u32) << 3 | type_ as u32 }
    }

    #[inline]
    pub fn count(&self) -> usize {
        (self.shape >> 3) as usize
    }

    /// Number of values and type in one number.
    #[inline]
    pub fn shape(&self) -> u32 {
        self.shape
    }

    /// Sets number of values and type; false when there is no such type.
    #[inline]
    pub fn set_shape(&mut self, shape: u32) -> bool {
        self.shape = shape;
        shape & 7 <= ValueType::Bool as u32
    }

    #[inline]
    pub fn type_(&self) -> ValueType {
        match self.shape & 7 {
            0 => ValueType::String,
            1 => ValueType::Bytes,
            2 => ValueType::Integer,
            3 => ValueType::Double,
            _ => ValueType::Bool,
        }
    }
}

/// A field's name and representation, stored once a batch for all messages that have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(pub(crate) u32);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LabelText {
    pub name: Text,
    pub representation: Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_remembers_count_and_type() {
        for type_ in [ValueType::String, ValueType::Bytes, ValueType::Integer, ValueType::Double, ValueType::Bool] {
            let field = Field::new(Label(7), type_, (1 << 29) - 1, 5);
            assert_eq!((field.type_(), field.count(), field.bits, field.label), (type_, (1 << 29) - 1, 5, Label(7)));
        }
    }

    #[test]
    fn records_are_small() {
        assert_eq!((size_of::<Rec>(), size_of::<Field>(), size_of::<Envelope>()), (48, 16, 40));
    }
}
