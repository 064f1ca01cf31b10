"""Looks for the best parameters of a classifier on many machines. They need scikit-learn for the same version of Python.

python examples/parameter_grid.py web1 web2 db1
"""

from __future__ import annotations

import sys

import easycluster
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV


def main():
    X, y = make_classification(n_samples=500, n_features=20, random_state=0)
    search = GridSearchCV(LogisticRegression(max_iter=500), {'C': [0.01, 0.1, 1.0, 10.0]}, cv=5)
    # Fitted estimators are objects of any type, so the hosts are trusted: they could run code here.
    with easycluster.Cluster(sys.argv[1:]) as cluster, cluster.joblib(trust=True):
        search.fit(X, y)
    print('best: C=%g with %.3f' % (search.best_params_['C'], search.best_score_))


if __name__ == '__main__':
    main()
