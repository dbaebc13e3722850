"""The bugs that planted_cuda.py plants: for each a file under csrc, the right words there (once in the file), and the wrong ones."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plant:
    name: str
    file: str
    right: str
    wrong: str
    test: str  # csrc/tests/cuda/<test>_test.cpp
    why_it_escapes: str = ""  # known to escape, and why


GEMM, RING, TILE, PTX = "cuda/sm80/gemm.cuh", "cuda/sm80/ring.cuh", "cuda/sm80/tile.cuh", "cuda/ptx.cuh"
PRODUCT, FLOAT_GEMM, FLOAT_TILE = "cuda/sm80/product.cuh", "cuda/sm80/float_gemm.cuh", "cuda/sm80/float_tile.cuh"
FORWARD, BACKWARD, SOFTMAX = "cuda/sm80/attention.cuh", "cuda/sm80/attention_backward.cuh", "cuda/sm80/softmax.cuh"
BLOCKS, DELTA, SCORES = "cuda/sm80/blocks.cuh", "cuda/sm80/delta.cuh", "cuda/sm80/float_scores.cuh"
FLOAT_FORWARD, FLOAT_BACKWARD = "cuda/sm80/float_attention.cuh", "cuda/sm80/float_attention_backward.cuh"
NORM, REDUCE, ROW, ENTROPY = (
    "cuda/sm80/norm.cuh",
    "cuda/sm80/reduce.cuh",
    "cuda/sm80/row.cuh",
    "cuda/sm80/cross_entropy.cuh",
)
WGMMA_GEMM, WGMMA, PTX_SM90 = "cuda/sm90/gemm.cuh", "cuda/wgmma.cuh", "cuda/ptx_sm90.cuh"
WGMMA_ATTENTION, TENSOR_MAP = "cuda/sm90/attention.cuh", "cuda/tensor_map.h"
ACTIVATION, ALONE = "cuda/activation.cuh", "cuda/sm80/activation.cuh"

PLANTS = (
    # the product's pipeline
    Plant("gemm-no-barrier", RING, "    block_barrier();  // shows", "    // shows", "gemm"),
    Plant("gemm-no-wait", RING, "    cp_async_wait<stages - 2>();\n", "", "gemm"),
    Plant("gemm-wait-leaves-one-more", RING, "cp_async_wait<stages - 2>", "cp_async_wait<stages - 1>", "gemm"),
    Plant("gemm-no-commit-at-the-end", RING, "    cp_async_commit();  // also", "    if (ahead < slices) cp_async_commit();  // also", "gemm"),
    Plant("gemm-no-commit-at-the-start", RING, "copy(slice, int(slice % stages));\n    cp_async_commit();", "copy(slice, int(slice % stages));", "gemm"),
    Plant("gemm-ring-one-stage-short", GEMM, "memory + stage * (", "memory + stage % (Shape::stages - 1) * (", "gemm"),
    Plant("gemm-right-tile-too-low", GEMM, "left_tile(stage).data + Shape::rows * Shape::depth", "left_tile(stage).data + Shape::rows * Shape::depth / 2", "gemm"),
    Plant("gemm-copies-one-slice-too-far", RING, "ahead < slices) copy", "ahead <= slices) copy", "gemm"),
    Plant("gemm-depth-tail", GEMM, "deep = args.k - k0;", "deep = args.k - k0 + 1;", "gemm"),
    # its epilogue
    Plant("gemm-no-barrier-before-the-epilogue", GEMM, "  const int lane = lane_index();\n  block_barrier();\n", "  const int lane = lane_index();\n", "gemm"),
    Plant("gemm-no-barrier-in-the-epilogue", GEMM, "  block_barrier();\n  finish_tile", "  finish_tile", "gemm"),
    Plant("gemm-accumulator-row", GEMM, "in_tile(row + 8, column)), Pair{sum[i][j][2]", "in_tile(row + 7, column)), Pair{sum[i][j][2]", "gemm"),
    Plant("gemm-column-tail", PRODUCT, "if (origin.column + column >= args.n) continue;", "if (origin.column + column > args.n) continue;", "gemm"),
    Plant("gemm-second-of-a-pair", PRODUCT, "origin.column + column + 1 < args.n", "origin.column + column + 1 <= args.n", "gemm"),
    Plant("gemm-row-tail", PRODUCT, "min<int64_t>(Shape::rows, args.m - origin.row)", "min<int64_t>(Shape::rows, args.m - origin.row + 1)", "gemm"),
    Plant("gemm-pairs-though-unaligned", PRODUCT, "second && pairs}", "second}", "gemm"),
    Plant("gemm-bias-by-row", PRODUCT, "load_global(args.bias + at.column)", "load_global(args.bias + at.row)", "gemm"),
    Plant("gemm-no-slope", ACTIVATION, "gradient * f.slope * up", "gradient * f.value * up", "gemm"),
    Plant("gemm-last-group", PRODUCT, "min<int64_t>(group, block_rows - first_row)", "group", "gemm"),
    # tiles and fragments
    Plant("tile-narrow-swizzle-bit", TILE, "(row / 2 % 4)", "(row / 2 % 8)", "gemm"),
    Plant("tile-wide-swizzle-bit", TILE, "chunk ^ (row % 8);", "chunk ^ (row % 16);", "attention"),
    Plant("tile-swizzle-one-bit-less", TILE, "chunk ^ (row % 8);", "chunk ^ (row % 4);", "attention",
          "right but slow: two rows share banks, and the shim does not count bank conflicts"),
    Plant("tile-row-tail", TILE, "row < source.rows", "row <= source.rows", "gemm"),
    Plant("tile-column-tail", TILE, "clamp(source.columns - column, 0, chunk_elements)", "clamp(source.columns - column + 1, 0, chunk_elements)", "gemm"),
    Plant("tile-chunks-though-unaligned", TILE, "if (source.by_chunks) {", "if (true) {", "gemm"),
    Plant("tile-left-fragment-halves", TILE, "tile.at(row + lane % 16, step * 2 + lane / 16)", "tile.at(row + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2)", "gemm"),
    Plant("tile-left-transposed-halves", TILE, "tile.at(step * 16 + lane / 16 * 8 + lane % 8, row / chunk_elements + lane / 8 % 2)",
          "tile.at(step * 16 + lane % 16, row / chunk_elements + lane / 16)", "gemm"),
    Plant("tile-right-fragment-halves", TILE, "tile.at(column + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2)",
          "tile.at(column + lane % 16, step * 2 + lane / 16)", "gemm"),
    Plant("tile-right-not-transposed", TILE, "ldmatrix_x4<true>(b,", "ldmatrix_x4<false>(b,", "gemm"),
    Plant("tile-step-of-8", TILE, "step * 16 + lane % 16, column", "step * 8 + lane % 16, column", "attention"),
    # the product in fp32
    Plant("float-gemm-ring-one-stage-short", FLOAT_GEMM, "memory + stage * (", "memory + stage % (Shape::stages - 1) * (", "gemm"),
    Plant("float-gemm-no-barrier-before-the-epilogue", FLOAT_GEMM, "  block_barrier();  // the operands are needed no more\n", "", "gemm"),
    Plant("float-gemm-no-barrier-in-the-epilogue", FLOAT_GEMM, "  block_barrier();\n  finish_tile", "  finish_tile", "gemm"),
    Plant("float-gemm-depth-tail", FLOAT_GEMM, "deep = args.k - k0;", "deep = args.k - k0 + 1;", "gemm"),
    Plant("float-gemm-lower-half-of-a", FLOAT_GEMM, "left.four(k, half_rows + row0)", "left.four(k, row0)", "gemm"),
    Plant("float-gemm-warps-in-one-column", FLOAT_GEMM, "(warp % 2 * 8 + lane % 8)", "(lane % 8)", "gemm"),
    Plant("float-tile-walks-down-always", FLOAT_TILE, "from.row_stride == 1", "true", "gemm",
          "right but slow: neighbouring threads take numbers far apart"),
    Plant("float-tile-misses-its-last-column", FLOAT_TILE, "column < columns", "column + 1 < columns", "gemm"),
    Plant("float-tile-one-row-too-far", FLOAT_TILE, "row < rows", "row <= rows", "gemm"),
    Plant("float-tile-fours-unaligned", FLOAT_TILE, "pitch = columns + 4", "pitch = columns + 1", "gemm"),
    # attention forward
    Plant("attention-no-barrier-for-keys", FORWARD, "    block_barrier();\n    copy(values", "    copy(values", "attention"),
    Plant("attention-no-barrier-for-values", FORWARD, "    block_barrier();\n    if (key0", "    if (key0", "attention"),
    Plant("attention-no-wait-for-values", FORWARD, "    cp_async_wait<0>();\n    block_barrier();\n    if (key0", "    block_barrier();\n    if (key0", "attention"),
    Plant("attention-fetches-too-far", FORWARD, "key0 + Shape::keys < block.key_end) copy", "key0 + Shape::keys <= block.key_end) copy", "attention"),
    Plant("attention-values-over-keys", FORWARD, "keys.data + Shape::keys * Shape::channels}", "keys.data}", "attention"),
    Plant("attention-wrong-key-head", BLOCKS, "head / (args.query_heads / args.key_heads)", "head % args.key_heads", "attention"),
    Plant("attention-one-shrink-for-both-rows", SOFTMAX, "out[j][2] *= shrink.second", "out[j][2] *= shrink.first", "attention"),
    Plant("attention-query-tail", SOFTMAX, "if (query >= args.queries) continue;", "if (query > args.queries) continue;", "attention"),
    Plant("attention-lse-to-the-base-2", SOFTMAX, "maximum * ln_2", "maximum", "attention"),
    Plant("mask-causal-by-one", "core/mask.h", "end = min(end, position + 1)", "end = min(end, position + 2)", "attention"),
    Plant("mask-window-by-one", "core/mask.h", "max(begin, position - window + 1)", "max(begin, position - window)", "attention"),
    Plant("mask-skipped-too-soon", SOFTMAX, "last = visible(row + 15)", "last = visible(row)", "attention"),
    Plant("softmax-half-a-row", SOFTMAX, "mask < 4; mask *= 2", "mask < 2; mask *= 2", "attention"),
    Plant("softmax-nothing-seen", SOFTMAX, "top.first == -INFINITY ? 0.0f : top.first", "top.first", "attention"),
    Plant("softmax-registers-swapped", SOFTMAX, "left[1] = pack<S>(low[2], low[3]);\n  left[2] = pack<S>(high[0], high[1]);",
          "left[2] = pack<S>(low[2], low[3]);\n  left[1] = pack<S>(high[0], high[1]);", "attention"),
    # attention backward
    Plant("backward-no-barrier", BACKWARD, "    block_barrier();\n    if (i + 1", "    if (i + 1", "attention"),
    Plant("backward-one-stage", BACKWARD, "i % 2 * 2 * Shape::streamed", "0 * i", "attention"),
    Plant("backward-copies-too-far", BACKWARD, "if (i + 1 < block.steps) copy_streamed", "if (i < block.steps) copy_streamed", "attention"),
    Plant("backward-no-delta", DELTA, "(gradient - state.second)", "gradient", "attention"),
    Plant("backward-first-query-head-only", BLOCKS, "head * group + i / tiles", "head * group", "attention"),
    Plant("backward-states-by-row", BACKWARD, "{left, right, left, right}", "{left, left, right, right}", "attention"),
    Plant("backward-state-tail", DELTA, "if (i >= count) return {0, 0};", "if (i > count) return {0, 0};", "attention"),
    Plant("backward-no-scale", BACKWARD, "             float(forward.scale), own_row", "             1.0f, own_row", "attention"),
    Plant("backward-part", BACKWARD, "multiply_columns<S>(sum_second, left, second, step, part)", "multiply_columns<S>(sum_second, left, second, step)", "attention"),
    Plant("backward-sees-nothing", DELTA, "own == -INFINITY ? 0.0f : own * log2_e", "own * log2_e", "attention"),
    # attention in fp32
    Plant("float-attention-no-barrier-for-keys", FLOAT_FORWARD, "    block_barrier();\n    copy_keys(values", "    copy_keys(values", "attention"),
    Plant("float-attention-no-barrier-for-values", FLOAT_FORWARD, "    block_barrier();\n    if (key0", "    if (key0", "attention"),
    Plant("float-attention-no-wait-for-values", FLOAT_FORWARD, "    cp_async_wait<0>();\n    block_barrier();\n    if (key0", "    block_barrier();\n    if (key0", "attention"),
    Plant("float-attention-values-over-keys", FLOAT_FORWARD, "{keys.data + keys.size}", "{keys.data}", "attention"),
    Plant("float-attention-query-tail", FLOAT_FORWARD, "query >= args.queries", "query > args.queries", "attention"),
    Plant("float-weights-no-barrier", SCORES, "  warp_barrier();\n", "", "attention"),
    Plant("float-mask-by-one", SCORES, "own_column(j) < end", "own_column(j) <= end", "attention"),
    Plant("float-softmax-half-a-row", SCORES, "mask < grid_side; mask *= 2", "mask < grid_side / 2; mask *= 2", "attention"),
    Plant("float-softmax-nothing-seen", SCORES, "top == -INFINITY ? 0.0f : top", "top", "attention"),
    Plant("float-channel-tail", SCORES, "own_channel(f) + x < channels", "own_channel(f) + x <= channels", "attention"),
    Plant("float-backward-no-barrier", FLOAT_BACKWARD, "    block_barrier();\n    if (step + 1", "    if (step + 1", "attention"),
    Plant("float-backward-one-stage", FLOAT_BACKWARD, "i % 2 * 2 * Streamed::size", "0 * i", "attention"),
    Plant("float-backward-copies-too-far", FLOAT_BACKWARD, "if (step + 1 < block.steps) copy_streamed", "if (step < block.steps) copy_streamed", "attention"),
    Plant("float-backward-weights-overwritten", FLOAT_BACKWARD, "      warp_barrier();  // the weights of dK have been read\n", "", "attention"),
    Plant("float-backward-state-of-one-query", FLOAT_BACKWARD, "state[keys_own ? j : i]", "state[0]", "attention"),
    Plant("float-backward-no-scale", FLOAT_BACKWARD, "scale_row(sum_first[i], float(forward.scale))", "scale_row(sum_first[i], 1.0f)", "attention"),
    # norms, rows
    Plant("reduce-no-barrier", REDUCE, "  block_barrier();\n", "", "norm"),
    Plant("reduce-lane-0-of-all-warps", REDUCE, "between + warp_index(), value", "between, value", "norm"),
    Plant("reduce-half-a-warp", REDUCE, "mask = warp_size / 2", "mask = warp_size / 4", "norm"),
    Plant("row-tail", ROW, "int(min<int64_t>(row_step<S>, columns - column))", "row_step<S>", "norm"),
    Plant("row-chunks-though-unaligned", ROW, "  Piece<S> out;\n  if (by_chunks) {", "  Piece<S> out;\n  if (true) {", "norm"),
    Plant("norm-reduction-in-one-place", NORM, "block_reduce<threads>(left, between + NormShape::warps, Sum())", "block_reduce<threads>(left, between, Sum())", "norm"),
    Plant("norm-variance-beyond-the-tail", NORM, "squares += i < count ? (v.value[i] - mean) * (v.value[i] - mean) : 0.0f", "squares += (v.value[i] - mean) * (v.value[i] - mean)", "norm"),
    Plant("norm-without-the-residual", NORM, "(args.residual ? args.sum : args.x) + offset", "args.x + offset", "norm"),
    Plant("norm-parts-not-cleared", NORM, "      store_shared(bias_part + column + i, 0.0f);\n", "", "norm"),
    Plant("norm-backward-no-barrier", NORM, "    block_barrier();  // the next row", "    // the next row", "norm"),
    Plant("norm-backward-mean", NORM, "(weighted.value[i] - mean_g - normed", "(weighted.value[i] - normed", "norm"),
    Plant("norm-parts-of-one-block", NORM, "parts + block_x() * 2 * columns", "parts", "norm"),
    # cross-entropy, column sums
    Plant("entropy-reduction-in-one-place", ENTROPY, "block_reduce<threads>(sum, between + RowShape::warps, Sum())", "block_reduce<threads>(sum, between, Sum())", "cross_entropy"),
    Plant("entropy-target-read-late", ENTROPY, "counted ? top - at_target", "counted ? top - to_float(load_global(logits + target))", "cross_entropy"),
    Plant("entropy-ignored-target", ENTROPY, "const bool counted = target != args.ignore_index;", "const bool counted = true;", "cross_entropy"),
    Plant("entropy-target-unchecked", ENTROPY, "within ? to_float(load_global(logits + target)) : NAN", "to_float(load_global(logits + target))", "cross_entropy"),
    Plant("entropy-target-one-column-too-far", ENTROPY, "target < args.columns", "target <= args.columns", "cross_entropy"),
    Plant("entropy-gradient-of-a-target-outside", ENTROPY, "within ? load_global(args.scale + row) : NAN", "load_global(args.scale + row)", "cross_entropy"),
    Plant("column-sum-no-barrier", ENTROPY, "  block_barrier();\n  if (warp_index() > 0", "  if (warp_index() > 0", "cross_entropy"),
    Plant("column-sum-tail", ENTROPY, "warp_index() > 0 || column >= args.columns", "warp_index() > 0 || column > args.columns", "cross_entropy"),
    # activations on their own
    Plant("activation-ragged-piece-by-chunks", ALONE, "aligned && count == row_step<S>", "aligned", "activation"),
    Plant("activation-chunks-though-unaligned", ALONE, "aligned && count == row_step<S>", "count == row_step<S>", "activation"),
    Plant("activation-block-of-half-its-columns", ALONE, "ActivationShape::threads + thread_index()", "(ActivationShape::threads / 2) + thread_index()", "activation"),
    Plant("activation-gradient-without-up", ACTIVATION, "gradient * f.slope * up", "gradient * f.slope", "activation"),
    # sm_90a: the pipeline of mbarriers, TMA and wgmma
    Plant("wgmma-full-parity-not-flipped", WGMMA_GEMM, "mbarrier_wait(full + stage, round % 2);", "mbarrier_wait(full + stage, 0);", "sm90_gemm"),
    Plant("wgmma-empty-parity", WGMMA_GEMM, "(round - 1) % 2", "round % 2", "sm90_gemm"),
    Plant("wgmma-no-full-wait", WGMMA_GEMM, "      mbarrier_wait(full + stage, round % 2);\n", "      (void)round;\n", "sm90_gemm"),
    Plant("wgmma-no-empty-wait", WGMMA_GEMM, "if (round > 0) mbarrier_wait(empty + stage, (round - 1) % 2);", "(void)round;", "sm90_gemm"),
    Plant("wgmma-bytes-of-a-box-not-announced", WGMMA_GEMM, "expect(full + stage, Shape::stage_bytes)", "expect(full + stage, Shape::stage_bytes - Shape::box_bytes)", "sm90_gemm"),
    Plant("wgmma-bytes-too-many", WGMMA_GEMM, "expect(full + stage, Shape::stage_bytes)", "expect(full + stage, Shape::stage_bytes + 16)", "sm90_gemm"),
    Plant("wgmma-gives-back-the-stage-at-work", WGMMA_GEMM, "empty + (slice - 1) % Shape::stages", "empty + slice % Shape::stages", "sm90_gemm"),
    Plant("wgmma-gives-back-before-the-wait", WGMMA_GEMM, "wgmma_wait<1>(sum);", "wgmma_wait<2>(sum);", "sm90_gemm"),
    Plant("wgmma-one-warp-gives-back-for-two", WGMMA_GEMM, "mbarrier_init(empty + stage, Shape::multiplying_warps)", "mbarrier_init(empty + stage, Shape::multiplying_warps / 2)", "sm90_gemm"),
    Plant("wgmma-all-lanes-give-back", WGMMA_GEMM, "slice > 0 && lane_index() == 0", "slice > 0", "sm90_gemm"),
    Plant("wgmma-first-stage-not-given-back", WGMMA_GEMM, "slice > 0 && lane_index() == 0", "slice > 1 && lane_index() == 0", "sm90_gemm"),
    Plant("wgmma-no-last-wait", WGMMA_GEMM, "    wgmma_wait<0>(sum);\n", "", "sm90_gemm"),
    Plant("wgmma-no-commit", WGMMA_GEMM, "      wgmma_commit();\n", "", "sm90_gemm"),
    Plant("wgmma-no-fence", WGMMA_GEMM, "      wgmma_fence(sum);\n", "", "sm90_gemm"),
    Plant("wgmma-no-fence-of-the-init", WGMMA_GEMM, "    mbarrier_fence_init();\n", "", "sm90_gemm"),
    Plant("wgmma-no-barrier-after-the-init", WGMMA_GEMM, "  block_barrier();\n\n  float sum", "\n  float sum", "sm90_gemm"),
    Plant("wgmma-no-barrier-before-the-epilogue", WGMMA_GEMM, "  block_barrier();\n  if (!loads)", "  if (!loads)", "sm90_gemm"),
    Plant("wgmma-no-barrier-in-the-epilogue", WGMMA_GEMM, "  block_barrier();\n  finish_tile", "  finish_tile", "sm90_gemm"),
    Plant("wgmma-ring-one-stage-short", WGMMA_GEMM, "memory + stage * Shape::stage_bytes + i", "memory + stage % (Shape::stages - 1) * Shape::stage_bytes + i", "sm90_gemm"),
    Plant("wgmma-ring-one-stage-long", WGMMA_GEMM, "stage = slice % Shape::stages, round = slice / Shape::stages;\n        if", "stage = slice % (Shape::stages + 1), round = slice / (Shape::stages + 1);\n        if", "sm90_gemm"),
    Plant("wgmma-depth-tail", WGMMA_GEMM, "int(ceil_div(args.k, Shape::depth))", "int(max<int64_t>(1, args.k / Shape::depth))", "sm90_gemm"),
    # its operands and sums
    Plant("wgmma-both-warpgroups-the-same-rows", WGMMA_GEMM, "left_box(stage, warp / 4)", "left_box(stage, warp / 8)", "sm90_gemm"),
    Plant("wgmma-leading-bytes", WGMMA_GEMM, "operand_descriptor(right_box(stage, 0), Shape::box_bytes)", "operand_descriptor(right_box(stage, 0), Shape::box_bytes / 2)", "sm90_gemm"),
    Plant("wgmma-box-from-the-other-corner", WGMMA_GEMM, "left_by_rows ? m : k, left_by_rows ? k : m", "left_by_rows ? k : m, left_by_rows ? m : k", "sm90_gemm"),
    Plant("wgmma-accumulator-row", WGMMA_GEMM, "in_tile(row + 8, column)), Pair{sum[4 * j + 2]", "in_tile(row + 7, column)), Pair{sum[4 * j + 2]", "sm90_gemm"),
    Plant("wgmma-descriptor-swizzle-bit", WGMMA, "swizzle_128 << 62", "swizzle_128 << 61", "sm90_gemm"),
    Plant("wgmma-descriptor-stride", WGMMA, "swizzled_group_bytes = 1024", "swizzled_group_bytes = 512", "sm90_gemm"),
    Plant("wgmma-step-along-k", WGMMA, "transposed ? 2048 : 32", "transposed ? 1024 : 32", "sm90_gemm"),
    Plant("wgmma-tile-mirrored-in-its-box", PTX_SM90, "load_tile(to, map, {column, row}, at, site)", "load_tile(to, map, {row, column}, at, site)", "sm90_primitives"),
    Plant("wgmma-sums-kept-in-no-order", WGMMA, "  keep_order(d);\n#ifdef", "#ifdef", "sm90_gemm",
          "right on the CPU: only a compiler could put what uses the registers on the wrong side of the fence"),
    # sm_90a: attention
    Plant("wgmma-attention-full-parity-not-flipped", WGMMA_ATTENTION, "mbarrier_wait(at.full_keys(i), at.parity(i));", "mbarrier_wait(at.full_keys(i), 0);", "sm90_attention"),
    Plant("wgmma-attention-empty-parity", WGMMA_ATTENTION, "mbarrier_wait(at.empty_keys(i), at.parity(i - Shape::stages));", "mbarrier_wait(at.empty_keys(i), at.parity(i));", "sm90_attention"),
    Plant("wgmma-attention-no-wait-for-the-last-values", WGMMA_ATTENTION, "    mbarrier_wait(at.full_values(tiles - 1), at.parity(tiles - 1));\n", "", "sm90_attention"),
    Plant("wgmma-attention-no-wait-for-queries", WGMMA_ATTENTION, "    mbarrier_wait(at.full_queries(), 0);\n", "", "sm90_attention"),
    Plant("wgmma-attention-no-empty-wait", WGMMA_ATTENTION, "    if (i >= Shape::stages) mbarrier_wait(at.empty_values(i), at.parity(i - Shape::stages));\n", "", "sm90_attention"),
    Plant("wgmma-attention-weights-packed-before-the-wait", WGMMA_ATTENTION, "      wgmma_wait<0>(out);\n      give_back(", "      pack_weights<S>(weights, scores);\n      wgmma_wait<0>(out);\n      give_back(", "sm90_attention"),
    Plant("wgmma-attention-shrunk-before-the-wait", WGMMA_ATTENTION, "      wgmma_wait<0>(out);\n      give_back(at.empty_values(i - 1));\n      shrink_sums(column_blocks(out), shrink);\n", "      shrink_sums(column_blocks(out), shrink);\n      wgmma_wait<0>(out);\n      give_back(at.empty_values(i - 1));\n", "sm90_attention"),
    Plant("wgmma-attention-never-shrunk", WGMMA_ATTENTION, "      shrink_sums(column_blocks(out), shrink);\n", "      (void)shrink;\n", "sm90_attention"),
    Plant("wgmma-attention-values-given-back-too-early", WGMMA_ATTENTION, "      wgmma_wait<0>(out);\n      give_back(at.empty_values(i - 1));", "      give_back(at.empty_values(i - 1));\n      wgmma_wait<0>(out);", "sm90_attention"),
    Plant("wgmma-attention-keys-given-back-too-early", WGMMA_ATTENTION, "      wgmma_wait<1>(scores);\n", "      wgmma_wait<2>(scores);\n", "sm90_attention"),
    Plant("wgmma-attention-no-fence", WGMMA_ATTENTION, "  wgmma_fence(out, weights);\n", "", "sm90_attention"),
    Plant("wgmma-attention-both-warpgroups-the-same-queries", WGMMA_ATTENTION, "warp_index() / 4 * Shape::warpgroup_queries", "warp_index() / 8 * Shape::warpgroup_queries", "sm90_attention"),
    Plant("wgmma-attention-second-box-of-channels", WGMMA_ATTENTION, "step / 4 * Shape::box_bytes >> 4), step % 4", "step / 4 * Shape::box_bytes >> 5), step % 4", "sm90_attention"),
    Plant("wgmma-attention-values-not-transposed", WGMMA_ATTENTION, "wgmma<S, true>(out, weights[step]", "wgmma<S, false>(out, weights[step]", "sm90_attention"),
    Plant("wgmma-attention-old-scores-added", WGMMA_ATTENTION, "channels_step<Shape>(keys, step), step > 0)", "channels_step<Shape>(keys, step), true)", "sm90_attention"),
    Plant("wgmma-attention-tiles-in-the-other-order", WGMMA_ATTENTION, "int64_t(tiles - 1 - i) * Shape::keys", "int64_t(i) * Shape::keys", "sm90_attention"),
    Plant("wgmma-attention-one-tile-too-few", WGMMA_ATTENTION, "int(ceil_div(block.key_end - block.key0, Shape::keys))", "int((block.key_end - block.key0) / Shape::keys)", "sm90_attention"),
    Plant("wgmma-attention-query-head-of-keys", WGMMA_ATTENTION, "load(at.keys(i), k_map, block.key_head", "load(at.keys(i), k_map, block.head", "sm90_attention"),
    Plant("wgmma-attention-padding-by-one", WGMMA_ATTENTION, "int(block.mask.key_length - first_key(0))", "int(block.mask.key_length + 1 - first_key(0))", "sm90_attention"),
    Plant("wgmma-attention-padding-kept", WGMMA_ATTENTION, "block.mask.key_length < min(seen_end, args.keys)", "seen_end < 0", "sm90_attention"),
    Plant("wgmma-attention-zeros-not-fenced", WGMMA_ATTENTION, "      fence_proxy_async();\n", "", "sm90_attention"),
    Plant("wgmma-attention-no-barrier-after-the-zeros", WGMMA_ATTENTION, "    }\n    block_barrier();\n", "    }\n", "sm90_attention"),
    Plant("wgmma-attention-first-turn-not-given", WGMMA_ATTENTION, "    if (group == 1) give_turn();\n", "", "sm90_attention"),
    Plant("wgmma-attention-last-turn-given-too", WGMMA_ATTENTION, "if (group == 0 || i + 1 < tiles) give_turn();", "give_turn();", "sm90_attention"),
    Plant("wgmma-attention-turn-given-to-oneself", WGMMA_ATTENTION, "named_barrier_arrive(2 - group,", "named_barrier_arrive(1 + group,", "sm90_attention"),
    Plant("mask-skips-a-tile-that-ends-one-key-too-soon", SOFTMAX, "column + columns * 8 <= min(first.end, last.end)", "column + columns * 8 <= min(first.end, last.end) + 1", "sm90_attention"),
    Plant("mask-skips-a-tile-that-begins-one-key-too-soon", SOFTMAX, "max(first.begin, last.begin) <= column &&", "max(first.begin, last.begin) <= column + 1 &&", "sm90_attention"),
    Plant("twin-registers-of-a", WGMMA, "values[lane / 4 + i % 2 * 8][lane % 4 * 2 + i / 2 * 8 + half]", "values[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2 * 8 + half]", "sm90_primitives"),
    Plant("tensor-map-heads-for-rows", TENSOR_MAP, "stride(rows, view.row), stride(heads, view.head)", "stride(heads, view.head), stride(rows, view.row)", "sm90_primitives"),
    # in the primitives themselves, on the host's side
    Plant("twin-fragment-rows", PTX, "row = g + i % 2 * 8, column = 2 * t + i / 2 * 8", "row = g + i / 2 * 8, column = 2 * t + i % 2 * 8", "primitives"),
    Plant("twin-number-though-absent", PTX, "global, 4, there ? 4 : 0, site", "global, 4, 4, site", "primitives"),
)  # fmt: skip

QUICK = ("entropy-reduction-in-one-place", "column-sum-tail", "entropy-target-read-late")
