//! What stands in for the exchange with other ranks in a build without the feature `ranks`: types that have
//! no values. The trainer keeps one course of events, and the compiler removes what needs them.

use super::buckets::Buckets;
use super::division::Division;
use super::partial_sums::PartialSums;
use super::report::Flags;
use super::worker::Worker;
use crate::error::Error;
use crate::profile::{ClockPoint, Recording};
use isograd_kernels::Element;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Range;

pub(super) use crate::memory::Aligned as Buffer;

/// Memory for the sums of a process that shares them with nobody, zeroed.
pub(super) fn private_buffer<T: Element>(len: usize) -> Buffer<T> {
    Buffer::zeroed(len)
}

/// Other ranks, which there are none of.
#[derive(Debug)]
pub(super) enum Ranks {}

impl Ranks {
    pub(super) fn most_shards(&self, _shards: usize) -> usize {
        match *self {}
    }

    pub(super) fn bucket_bytes(&self) -> usize {
        match *self {}
    }
}

/// The exchange with them.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    never: Infallible,
    pub(super) recording: Recording,
    of: PhantomData<T>,
}

impl<T: Element> Exchange<T> {
    #[expect(clippy::type_complexity, reason = "buffers by worker, node and bucket")]
    pub(super) fn new(
        ranks: Ranks,
        _buckets: &Buckets,
        _shards: usize,
        _division: Division,
        _capacity: usize,
    ) -> Result<(Self, Vec<Vec<Vec<Buffer<T>>>>), Error> {
        match ranks {}
    }

    pub(super) fn overlaps(&self) -> bool {
        match self.never {}
    }

    pub(super) fn own(&self, _shards: usize) -> Range<usize> {
        match self.never {}
    }

    pub(super) fn begin(&mut self, _shards: usize) -> Result<(), Error> {
        match self.never {}
    }

    pub(super) fn complete(&self, _worker: usize, _partial_sums: &mut PartialSums<T>, _bucket: usize) {
        match self.never {}
    }

    pub(super) fn complete_all(&self, _workers: &mut [Worker<T>], _own: Range<usize>) {
        match self.never {}
    }

    pub(super) fn wait(&mut self) -> Result<(), Error> {
        match self.never {}
    }

    pub(super) fn reader(&mut self) -> impl Fn(usize, Range<usize>, &mut [T]) + Sync {
        let never = self.never;
        move |_, _, _| match never {}
    }

    pub(super) fn finish(&mut self, _workers: &mut [Worker<T>]) {
        match self.never {}
    }

    pub(super) fn discard(&mut self, _workers: &mut [Worker<T>]) {
        match self.never {}
    }

    pub(super) fn sums_of_all(
        &mut self,
        _shards: usize,
        _width: usize,
        _own: impl Iterator<Item = f64>,
        _flags: Flags,
    ) -> Result<(&[f64], Flags), Error> {
        match self.never {}
    }

    pub(super) fn rank(&self) -> usize {
        match self.never {}
    }

    pub(super) fn world_size(&self) -> usize {
        match self.never {}
    }

    pub(super) fn clock_point(&mut self, _now_ns: impl Fn() -> f64) -> Result<ClockPoint, Error> {
        match self.never {}
    }

    pub(super) fn gather(&mut self, _value: f64) -> Result<Vec<f64>, Error> {
        match self.never {}
    }

    pub(super) fn is_first(&self) -> bool {
        match self.never {}
    }

    pub(super) fn broadcast(&mut self, _x: &mut [T]) -> Result<(), Error> {
        match self.never {}
    }

    pub(super) fn broadcast_bytes(&mut self, _bytes: &mut Vec<u8>, _root: usize) -> Result<(), Error> {
        match self.never {}
    }

    pub(super) fn barrier(&mut self) -> Result<(), Error> {
        match self.never {}
    }

    pub(super) fn abort(&mut self, _cause: &str) {
        match self.never {}
    }
}
