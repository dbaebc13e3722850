// The module laimbench._C: loading it registers the ops; what it exports is all that is not a tensor op.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "cpu/dispatch.h"

PYBIND11_MODULE(_C, module) {
  module.doc() = "laimbench's compiled kernels; loading it registers torch.ops.laimbench.*";
  module.def("build_info", [] {
    std::vector<std::string> built, supported;
    for (int i = 0; i < static_cast<int>(laim::Isa::count); ++i) {
      const auto isa = static_cast<laim::Isa>(i);
      if (laim::isa_built(isa)) built.push_back(laim::isa_name(isa));
      if (laim::isa_supported(isa)) supported.push_back(laim::isa_name(isa));
    }
    pybind11::dict info;
    info["commit"] = LAIM_COMMIT;
    info["compiler"] = LAIM_COMPILER;
    info["built_with_torch"] = LAIM_TORCH_VERSION;
    info["isa"] = laim::isa_name(laim::chosen_isa());
    info["isa_reason"] = laim::isa_reason();
    info["isas_built"] = built;
    info["isas_supported"] = supported;
#ifdef LAIM_CUDA_BUILD
    info["cuda"] = LAIM_CUDA_BUILD;  // "device", or "twin": the CUDA kernels run on CPU tensors, under the shim
    info["cuda_archs"] = LAIM_CUDA_ARCHS;
#else
    info["cuda"] = "";
    info["cuda_archs"] = "";
#endif
    return info;
  });
}
