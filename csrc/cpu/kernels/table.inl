// The kernels of one instruction set as a table.
#pragma once
#include "core/kernels.h"
#include "core/pairs.h"
#include "core/scratch.h"
// in order: each uses those before it
#include "cpu/kernels/math.inl"
#include "cpu/kernels/tile.inl"
#ifndef LAIM_TILES
#include "cpu/kernels/activation.inl"
#include "cpu/kernels/dot.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/rows.inl"
#include "cpu/kernels/norm.inl"
#endif
#include "cpu/kernels/attention_block.inl"
#include "cpu/kernels/attention.inl"
#include "cpu/kernels/attention_backward.inl"

namespace laim::LAIM_ISA {

// Where only some kernels differ from another tier's, the rest is that tier's (dispatch.cpp).
#if defined(LAIM_TILES)
extern const Kernels<bf16> bf16_attention;
constexpr Kernels<bf16> made = {nullptr, nullptr, nullptr,          nullptr,
                                nullptr, nullptr, &attention<bf16>, &attention_backward<bf16>};
const Kernels<bf16> bf16_attention = made;
#else
template <class S>
constexpr Kernels<S> kernels() {
  Kernels<S> table = {nullptr,           &activation<S>,    &column_sum<S>, &norm<S>,
                      &norm_backward<S>, &cross_entropy<S>, &attention<S>,  &attention_backward<S>};
  if constexpr (sizeof(S) == sizeof(Compute<S>) || span<Operand<S> > > 1) table.gemm = &gemm<S>;
  return table;
}

#ifdef LAIM_PAIRS
extern const Kernels<bf16> bf16_kernels;
constexpr Kernels<bf16> made = kernels<bf16>();
const Kernels<bf16> bf16_kernels = made;
#else
extern const KernelTable table;
constexpr KernelTable made = {kernels<double>(), kernels<float>(), kernels<bf16>()};
const KernelTable table = made;
#endif
#endif

}  // namespace laim::LAIM_ISA
