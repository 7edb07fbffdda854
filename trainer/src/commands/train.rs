//! `train`: recipes followed from photographs to packages.

use std::path::{Path, PathBuf};

use clap::Args;
use fieldmark_trainer::dataset::Source;
use fieldmark_trainer::recipe::Recipe;
use fieldmark_trainer::run::Prepared;
use fieldmark_trainer::training::{self, NetworkRecipe, Processes, Processor, Session};

use super::compare::compared;
use super::evaluate::print_table;
use super::failure::Failure;
use super::quick_variant;

/// What is told of the command below its options.
pub(crate) const EXAMPLES: &str = "Examples:
  fieldmark-trainer train --quick configs/training/garden.toml --out /tmp/packages
  fieldmark-trainer train configs/training/experiment-2.toml --set work/sets/paper --seed 1,2,3

In several processes (docs/training.md):
  mpirun -n 4 --bind-to none fieldmark-trainer train configs/training/experiment-3.toml --device cuda";

#[derive(Args)]
pub(crate) struct TrainArgs {
    /// Recipes, followed one after the other; several runs of the whole network are put beside each other at the end.
    #[arg(required = true)]
    recipes: Vec<PathBuf>,
    /// Take the quick variant beside each: NAME-quick.toml.
    #[arg(long)]
    quick: bool,
    /// Folder for features that are computed once.
    #[arg(long, default_value = "work/features")]
    cache: PathBuf,
    /// Folder the packages are written to.
    #[arg(long, default_value = "models/packages")]
    out: PathBuf,
    /// Folder for the checkpoints and figures of runs of the whole network: one folder a recipe and seed.
    #[arg(long, default_value = "work/runs")]
    runs: PathBuf,
    /// Prepared set in place of the recipes' photographs, for the whole network.
    #[arg(long, value_name = "FOLDER")]
    set: Option<PathBuf>,
    /// Seeds in place of the recipe's, for the whole network: a run each.
    #[arg(long, value_name = "SEED", value_delimiter = ',')]
    seed: Vec<u64>,
    /// Where the whole network is trained: cpu, cuda or cuda:1. Of several processes on a machine each takes a GPU of
    /// its own with cuda.
    #[arg(long, default_value = "cpu")]
    device: Processor,
}

/// A recipe that was read.
enum Plan {
    Network(Box<NetworkRecipe>),
    Head(Box<Recipe>),
}

impl TrainArgs {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        // All of them, before the first is followed for days.
        let plans = self.plans().map_err(Failure::Usage)?;
        training::compute_here();
        let processes = training::started_with().map_err(|error| Failure::Usage(error.into()))?;
        match self.follow(plans, &*processes) {
            // The others wait for this one.
            Err(error) if processes.count() > 1 => {
                let (number, count) = (processes.number(), processes.count());
                eprintln!("fieldmark-trainer, process {number} of {count}: {error:#}");
                processes.stop(1)
            }
            followed => Ok(followed?),
        }
    }

    fn plans(&self) -> anyhow::Result<Vec<Plan>> {
        let mut plans = Vec::new();
        for recipe in &self.recipes {
            let path = if self.quick { quick_variant(recipe) } else { recipe.clone() };
            if !NetworkRecipe::is_one(&path)? {
                let own = self.set.is_none() && self.seed.is_empty();
                anyhow::ensure!(own, "{}: --set and --seed are for recipes with stages", path.display());
                let alone = !training::launched();
                anyhow::ensure!(
                    alone,
                    "{}: a recipe without stages is followed by one process: start it without mpirun",
                    path.display()
                );
                plans.push(Plan::Head(Box::new(Recipe::read(&path)?)));
                continue;
            }
            let seeds = self.seed.iter().map(|&seed| Some(seed));
            let seeds = if self.seed.is_empty() { vec![None] } else { seeds.collect() };
            for seed in seeds {
                let mut recipe = NetworkRecipe::read(&path, seed)?;
                if let Some(set) = &self.set {
                    recipe.data.source = Source::Set(set.clone());
                }
                plans.push(Plan::Network(Box::new(recipe)));
            }
        }
        Ok(plans)
    }

    fn follow(&self, plans: Vec<Plan>, processes: &dyn Processes) -> anyhow::Result<()> {
        let mut runs = Vec::new();
        for plan in plans {
            match plan {
                Plan::Network(recipe) => {
                    let folder = self.runs.join(format!("{}-{}", recipe.name, recipe.network.seed));
                    self.network(*recipe, &folder, processes)?;
                    runs.push(folder);
                }
                Plan::Head(recipe) => self.head(*recipe)?,
            }
        }
        if runs.len() > 1 && processes.is_first() {
            let path = self.runs.join("compare.html");
            println!();
            compared(&runs, Some(&path))?;
            println!("{}", path.display());
        }
        Ok(())
    }

    fn network(&self, recipe: NetworkRecipe, folder: &Path, processes: &dyn Processes) -> anyhow::Result<()> {
        if processes.is_first() {
            eprintln!("{}, seed {}", recipe.name, recipe.network.seed);
        }
        let session = Session::new(recipe, folder, processes)?;
        let network = session.train(self.device)?;
        let Some(evaluation) = session.evaluate(&network)? else { return Ok(()) };
        println!("top-1 on {} training photographs {:.3}", evaluation.training, evaluation.training_top1);
        print_table(&evaluation.measured);
        println!("{}", session.report(&evaluation)?.display());
        println!("{}", session.package(&network, &evaluation, &self.out)?.display());
        Ok(())
    }

    fn head(&self, recipe: Recipe) -> anyhow::Result<()> {
        let prepared = Prepared::new(recipe, &self.cache)?;
        let measured = prepared.evaluate()?;
        print_table(&measured);
        prepared.check_floor(&measured)?;
        println!("{}", prepared.package(&measured, &self.out)?.display());
        Ok(())
    }
}
