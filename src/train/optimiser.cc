// SGD with momentum, Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter, 2019).
#include "train/optimiser.h"

#include <numbers>

namespace skerry::train {
namespace {

class Update {
 public:
  Update(Builder& make, const OptimiserOptions& options) : make_(make), options_(options) {}

  Updated run(std::span<Value* const> parameters, std::span<Value* const> gradients) {
    std::vector<Value*> wanted = with_proximal(parameters, gradients);
    wanted = clipped(wanted);
    Value* step = carry("step", {});
    Value* next = make_.plus(step, 1);
    give(next);
    rate_ = rate(step, next);
    if (options_.optimiser != Optimiser::kSgd) {
      corrected1_ = correction(options_.beta1, next);
      corrected2_ = correction(options_.beta2, next);
    }
    for (size_t i = 0; i < parameters.size(); ++i) {
      Value* fresh = options_.optimiser == Optimiser::kSgd ? sgd(parameters[i], wanted[i])
                                                           : adam(parameters[i], wanted[i]);
      result_.parameters.push_back(fresh);
      if (options_.average > 0) average(*parameters[i], fresh);
    }
    return std::move(result_);
  }

 private:
  graph::Type type_of(const Sizes& shape) const {
    return {DataType::kFp32, graph::fixed_shape(shape)};
  }

  // An input that starts as zeros; give() says what it becomes.
  Value* carry(const std::string& name, const Sizes& shape) {
    Value& input = make_.graph().add_input(name, type_of(shape));
    result_.memory.push_back({input.name(), "", shape});
    return &input;
  }

  std::string output(Value* value, const std::string& of) {
    Value* named = make_.op("Identity", {value}, {}, "new_" + of);
    make_.graph().add_output(*named);
    return named->name();
  }

  void give(Value* value) {
    Carried& carried = result_.memory.back();
    carried.output = output(value, carried.input);
  }

  std::vector<Value*> with_proximal(std::span<Value* const> parameters,
                                    std::span<Value* const> gradients) {
    std::vector<Value*> all(gradients.begin(), gradients.end());
    for (size_t i = 0; i < all.size() && options_.proximal > 0; ++i) {
      Value& anchor =
          make_.graph().add_input("anchor." + parameters[i]->name(), parameters[i]->type());
      result_.anchors.push_back(anchor.name());
      Value* pull = make_.scale(make_.sub(parameters[i], &anchor), options_.proximal);
      all[i] = make_.add(all[i], pull);
    }
    return all;
  }

  std::vector<Value*> clipped(std::vector<Value*> gradients) {
    Value* squares = make_.number(0);
    for (Value* gradient : gradients) {
      squares = make_.add(squares, make_.sum_all(make_.square(gradient)));
    }
    Value* norm = make_.op("Sqrt", {squares}, {}, "gradient_norm");
    make_.graph().add_output(*norm);
    result_.norm = norm->name();
    if (options_.clip_norm <= 0) return gradients;
    Value* factor = make_.op("Min", {make_.number(1), make_.div(make_.number(options_.clip_norm),
                                                                make_.plus(norm, 1e-12))});
    for (Value*& gradient : gradients) gradient = make_.mul(gradient, factor);
    return gradients;
  }

  // `step` counts from 0, `next` from 1.
  Value* rate(Value* step, Value* next) {
    Value* rate = make_.number(options_.rate);
    if (options_.schedule != Schedule::kConstant) {
      Value* done = make_.op(
          "Min", {make_.number(1), make_.scale(step, 1 / std::max(options_.total_steps, 1.0))});
      Value* left =
          options_.schedule == Schedule::kLinear
              ? make_.sub(make_.number(1), done)
              : make_.scale(make_.plus(make_.op("Cos", {make_.scale(done, std::numbers::pi)}), 1),
                            0.5);
      rate = make_.mul(rate, left);
    }
    if (options_.warmup_steps > 0) {
      Value* warm =
          make_.op("Min", {make_.number(1), make_.scale(next, 1 / options_.warmup_steps)});
      rate = make_.mul(rate, warm);
    }
    return rate;
  }

  // 1 − βᵗ
  Value* correction(double beta, Value* next) {
    return make_.sub(make_.number(1), make_.op("Pow", {make_.number(beta), next}));
  }

  // Biases and scales of norms are left alone.
  bool decays(const Value& parameter) const {
    return options_.weight_decay > 0 && sizes_of(parameter).size() > 1;
  }

  Value* decayed(Value* parameter, Value* gradient) {
    if (!decays(*parameter)) return gradient;
    return make_.add(gradient, make_.scale(parameter, options_.weight_decay));
  }

  Value* mixed(Value* before, Value* now, double keep) {
    return make_.add(make_.scale(before, keep), make_.scale(now, 1 - keep));
  }

  Value* sgd(Value* parameter, Value* gradient) {
    gradient = decayed(parameter, gradient);
    if (options_.momentum > 0) {
      Value* speed = carry("momentum." + parameter->name(), sizes_of(*parameter));
      gradient = make_.add(make_.scale(speed, options_.momentum), gradient);
      give(gradient);
    }
    return make_.sub(parameter, make_.mul(gradient, rate_));
  }

  Value* adam(Value* parameter, Value* gradient) {
    const bool apart = options_.optimiser == Optimiser::kAdamW;
    if (!apart) gradient = decayed(parameter, gradient);
    Value* first = carry("first." + parameter->name(), sizes_of(*parameter));
    first = mixed(first, gradient, options_.beta1);
    give(first);
    Value* second = carry("second." + parameter->name(), sizes_of(*parameter));
    second = mixed(second, make_.square(gradient), options_.beta2);
    give(second);
    Value* length = make_.op("Sqrt", {make_.div(second, corrected2_)});
    Value* move = make_.div(make_.div(first, corrected1_), make_.plus(length, options_.epsilon));
    if (apart && decays(*parameter)) {
      move = make_.add(move, make_.scale(parameter, options_.weight_decay));
    }
    return make_.sub(parameter, make_.mul(move, rate_));
  }

  void average(const Value& parameter, Value* fresh) {
    const Sizes shape = sizes_of(parameter);
    Value& before = make_.graph().add_input("average." + parameter.name(), type_of(shape));
    result_.averages.push_back(
        {before.name(), output(mixed(&before, fresh, options_.average), before.name()), shape});
  }

  Builder& make_;
  const OptimiserOptions& options_;
  Updated result_;
  Value* rate_ = nullptr;
  Value* corrected1_ = nullptr;
  Value* corrected2_ = nullptr;
};

}  // namespace

Result<Optimiser> parse_optimiser(std::string_view name) {
  if (name == "sgd") return Optimiser::kSgd;
  if (name == "adam") return Optimiser::kAdam;
  if (name == "adamw") return Optimiser::kAdamW;
  return fail(Code::kInvalidArgument,
              "there is no optimiser '" + std::string(name) + "'; there are sgd, adam, adamw");
}

Result<Schedule> parse_schedule(std::string_view name) {
  if (name == "constant") return Schedule::kConstant;
  if (name == "cosine") return Schedule::kCosine;
  if (name == "linear") return Schedule::kLinear;
  return fail(Code::kInvalidArgument, "there is no schedule '" + std::string(name) +
                                          "'; there are constant, cosine, linear");
}

Updated add_optimiser(Builder& make, const OptimiserOptions& options,
                      std::span<Value* const> parameters, std::span<Value* const> gradients) {
  return Update(make, options).run(parameters, gradients);
}

}  // namespace skerry::train
