// The kernels of one instruction set as a table.
#pragma once
#include "core/kernels.h"
#include "core/scratch.h"
// in order: each uses those before it
#include "cpu/kernels/math.inl"
#include "cpu/kernels/tile.inl"
#include "cpu/kernels/activation.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/rows.inl"
#include "cpu/kernels/norm.inl"
#include "cpu/kernels/attention.inl"
#include "cpu/kernels/attention_backward.inl"

namespace laim::LAIM_ISA {

template <class S>
constexpr Kernels<S> kernels() {
  Kernels<S> table = {nullptr,           &activation<S>,    &column_sum<S>, &norm<S>,
                      &norm_backward<S>, &cross_entropy<S>, &attention<S>,  &attention_backward<S>};
  if constexpr (sizeof(S) > 2) table.gemm = &gemm<S>;
  return table;
}

extern const KernelTable table;
constexpr KernelTable made = {kernels<double>(), kernels<float>(), kernels<bf16>()};
const KernelTable table = made;

}  // namespace laim::LAIM_ISA
