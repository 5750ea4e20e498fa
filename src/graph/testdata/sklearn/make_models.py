"""Trains small pipelines of scikit-learn on its own digits and writes them as ONNX, with rows to try.

Made once with scikit-learn, skl2onnx and NumPy of PyPI (their versions are printed); what it wrote is in this folder.

    make_models.py FOLDER
"""

import pathlib
import sys

import numpy as np
import skl2onnx
import sklearn
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier


def main():
    folder = pathlib.Path(sys.argv[1])
    print(f"scikit-learn {sklearn.__version__}, skl2onnx {skl2onnx.__version__}, NumPy {np.__version__}")
    digits, iris = load_digits(), load_iris()
    names = np.array(iris.target_names)[iris.target]
    models = {
        "scaled_logistic": (make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), iris.data, names),
        "pca_logistic": (make_pipeline(MinMaxScaler(), PCA(8), LogisticRegression(max_iter=500)), digits.data, digits.target),
        "forest": (RandomForestClassifier(8, max_depth=5, random_state=1), digits.data, digits.target),
        "boosting": (GradientBoostingClassifier(n_estimators=6, max_depth=2, random_state=1), iris.data, iris.target),
        "tree": (DecisionTreeClassifier(max_depth=5, random_state=1), iris.data, iris.target),
        "forest_regressor": (RandomForestRegressor(6, max_depth=4, random_state=1), iris.data[:, :3], iris.data[:, 3]),
        "ridge": (make_pipeline(Normalizer(), PolynomialFeatures(2), Ridge()), iris.data[:, :3], iris.data[:, 3]),
        "mlp": (make_pipeline(StandardScaler(), MLPClassifier((12,), max_iter=200, random_state=1)), iris.data, iris.target),
        "bayes": (GaussianNB(), iris.data, iris.target),
        "neighbours": (KNeighborsClassifier(3), iris.data[::4], iris.target[::4]),
        "clusters": (KMeans(3, n_init=3, random_state=1), iris.data, None),
        "anomalies": (IsolationForest(n_estimators=8, random_state=1), iris.data, None),
    }
    for name, (model, data, target) in models.items():
        data = data.astype("f4")
        model.fit(data, target)
        options = {"zipmap": False} if hasattr(model, "predict_proba") and name != "tree" else None  # one as it comes
        converted = skl2onnx.to_onnx(model, data[:1], target_opset={"": 17, "ai.onnx.ml": 3},
                                     options={id(model): options} if options else None)
        (folder / f"{name}.onnx").write_bytes(converted.SerializeToString())
        np.save(folder / f"{name}.npy", data[::7][:20])


if __name__ == "__main__":
    main()
