{{ stage('inspections', 'grain_find') }}
