// Tells torch what runs the ops on this device: for tensors of the dispatch key LAIM_KEY.
#include "ops/ops.h"

STABLE_TORCH_LIBRARY_IMPL(laimbench, LAIM_KEY, library) {
  library.impl("attention", TORCH_BOX(&laim::LAIM_ON::attention));
  library.impl("attention_backward", TORCH_BOX(&laim::LAIM_ON::attention_backward));
  library.impl("linear", TORCH_BOX(&laim::LAIM_ON::linear));
  library.impl("linear_backward", TORCH_BOX(&laim::LAIM_ON::linear_backward));
  library.impl("mlp", TORCH_BOX(&laim::LAIM_ON::mlp));
  library.impl("mlp_backward", TORCH_BOX(&laim::LAIM_ON::mlp_backward));
  library.impl("gated_mlp", TORCH_BOX(&laim::LAIM_ON::gated_mlp));
  library.impl("gated_mlp_backward", TORCH_BOX(&laim::LAIM_ON::gated_mlp_backward));
  library.impl("layer_norm", TORCH_BOX(&laim::LAIM_ON::layer_norm));
  library.impl("layer_norm_backward", TORCH_BOX(&laim::LAIM_ON::layer_norm_backward));
  library.impl("rms_norm", TORCH_BOX(&laim::LAIM_ON::rms_norm));
  library.impl("rms_norm_backward", TORCH_BOX(&laim::LAIM_ON::rms_norm_backward));
  library.impl("linear_cross_entropy", TORCH_BOX(&laim::LAIM_ON::linear_cross_entropy));
}
